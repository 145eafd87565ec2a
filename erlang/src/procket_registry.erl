%% @private
%% Which port process serves what. One that is ready is in a table, which every caller reads itself; this server is asked only if
%% there is none, and starts one.
-module(procket_registry).
-behaviour(gen_server).

-export([find/1, all/0, start/1, ready/2, ready_capture/1, gone/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([key/0, capture/0, handle/0]).

-type key() :: worker | {opener, procket_command:command()}.
%% The capture process of one socket, which serves nobody else.
-type capture() :: {capture, gen_raw:socket()}.
-type handle() :: #{server := pid(), os_pid := pos_integer(), direct => procket_direct:direct()}.
-type servers() :: #{key() | capture() => pid()}.

-define(TABLE, ?MODULE).
-define(MAX_OPENERS, 8).

%% The port process for a key, if there is one.
-spec find(key()) -> {ok, handle()} | error.
find(Key) ->
    try
        {ok, ets:lookup_element(?TABLE, Key, 2)}
    catch
        error:badarg -> error
    end.

%% Those that run.
-spec all() -> [{key() | capture(), handle()}].
all() ->
    try
        ets:tab2list(?TABLE)
    catch
        error:badarg -> []
    end.

%% The server of the port process for a key, which is started if there is none. `{error, full}': so many openers run that no other may.
-spec start(key()) -> {ok, pid()} | {error, procket:posix() | full}.
start(Key) ->
    procket_app:call(?MODULE, {start, Key}).

%% Called by a server whose port process has connected.
-spec ready(key() | capture(), handle()) -> ok.
ready(Key, Handle) ->
    true = ets:insert(?TABLE, {Key, Handle}),
    ok.

%% Called by a socket of `gen_raw' whose port process has connected. The row goes with the socket at the latest.
-spec ready_capture(handle()) -> ok.
ready_capture(#{server := Socket} = Handle) ->
    ok = ready({capture, Socket}, Handle),
    gen_server:cast(?MODULE, {watch, {capture, Socket}, Socket}).

%% Called by a server whose port process has ended.
-spec gone(key() | capture()) -> ok.
gone(Key) ->
    procket_table:delete(?TABLE, Key).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% What the table of an earlier server has is watched again: captures go on, the others have ended and are forgotten.
-spec init([]) -> {ok, servers()}.
init([]) ->
    ok = procket_listener:sweep(),
    {ok, lists:foldl(fun({Key, #{server := Server}}, Servers) -> watch(Key, Server, Servers) end, #{}, all())}.

-spec handle_call(term(), gen_server:from(), servers()) ->
    {reply, {ok, pid()} | {error, procket:posix() | full | einval}, servers()}.
handle_call({start, Key}, _From, Servers) ->
    case Servers of
        #{Key := Pid} ->
            {reply, {ok, Pid}, Servers};
        #{} ->
            Openers = [opener || {opener, _} <- maps:keys(Servers)],
            case Key =/= worker andalso length(Openers) >= ?MAX_OPENERS of
                true -> {reply, {error, full}, Servers};
                false -> start_port(Key, Servers)
            end
    end;
handle_call(_Request, _From, Servers) ->
    {reply, {error, einval}, Servers}.

start_port(Key, Servers) ->
    case procket_sup:start_port(#{key => Key, command => command(Key)}) of
        {ok, Pid} -> {reply, {ok, Pid}, watch(Key, Pid, Servers)};
        {error, _} = Error -> {reply, Error, Servers}
    end.

-spec handle_cast(term(), servers()) -> {noreply, servers()}.
handle_cast({watch, Key, Pid}, Servers) ->
    {noreply, watch(Key, Pid, Servers)};
handle_cast(_Message, Servers) ->
    {noreply, Servers}.

-spec handle_info(term(), servers()) -> {noreply, servers()}.
handle_info({{'DOWN', Key}, _Ref, process, Pid, _Reason}, Servers) ->
    case Servers of
        #{Key := Pid} ->
            gone(Key),
            {noreply, maps:remove(Key, Servers)};
        #{} ->
            {noreply, Servers}
    end;
handle_info(_Message, Servers) ->
    {noreply, Servers}.

watch(Key, Pid, Servers) ->
    _ = monitor(process, Pid, [{tag, {'DOWN', Key}}]),
    Servers#{Key => Pid}.

command(worker) -> procket_command:worker();
command({opener, Command}) -> Command.
