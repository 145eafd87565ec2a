%% @private
%% Which port process serves what. A port process that is ready stands in a table that every caller reads by itself;
%% this server is asked only when none stands there, and starts one.
-module(procket_ports).
-behaviour(gen_server).

-export([get/1, find/1, all/0, ready/2, captures/1, gone/1]).
-export([new_table/0, start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-export_type([key/0, capture/0]).

-type key() :: worker | {opener, procket_command:command()}.
-type capture() :: {capture, gen_raw:socket()}.
%% That of one socket, which nobody else gets.
-type ports() :: #{key() | capture() => pid()}.

-define(TABLE, ?MODULE).
-define(MOST_OPENERS, 8).

%% The port process for a key, started if there is none. `{error, full}': so many openers run that there is no other.
-spec get(key()) -> {ok, procket_port:handle()} | {error, procket:posix() | full}.
get(Key) ->
    case find(Key) of
        {ok, Handle} -> {ok, Handle};
        error -> start(Key)
    end.

%% The port process for a key, if there is one.
-spec find(key()) -> {ok, procket_port:handle()} | error.
find(Key) ->
    try
        {ok, ets:lookup_element(?TABLE, Key, 2)}
    catch
        error:badarg -> error
    end.

%% Those that run.
-spec all() -> [{key() | capture(), procket_port:handle()}].
all() ->
    try
        ets:tab2list(?TABLE)
    catch
        error:badarg -> []
    end.

%% Called by a port server when its port process has connected.
-spec ready(key() | capture(), procket_port:handle()) -> ok.
ready(Key, Handle) ->
    true = ets:insert(?TABLE, {Key, Handle}),
    ok.

%% Called by a socket of `gen_raw' when its port process has connected. It is forgotten with the socket at the latest.
-spec captures(procket_port:handle()) -> ok.
captures(#{server := Socket} = Handle) ->
    ok = ready({capture, Socket}, Handle),
    gen_server:cast(?MODULE, {watch, {capture, Socket}, Socket}).

%% Called by a port server, or a socket of `gen_raw', when its port process has ended.
-spec gone(key() | capture()) -> ok.
gone(Key) ->
    procket_table:delete(?TABLE, Key).

start(Key) ->
    case procket_app:ensure_started() of
        ok ->
            case procket_call:application(?MODULE, {start, Key}) of
                {ok, Pid} ->
                    case procket_port:await(Pid) of
                        noproc -> start(Key);
                        Result -> Result
                    end;
                {error, _} = Error ->
                    Error
            end;
        {error, _} ->
            {error, enoexec}
    end.

-spec new_table() -> ok.
new_table() ->
    procket_table:new(?TABLE, [{read_concurrency, true}]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% What stands in the table of an earlier server is watched again: captures go on, the others have ended, and are forgotten so.
-spec init([]) -> {ok, ports()}.
init([]) ->
    {ok, lists:foldl(fun({Key, #{server := Server}}, Ports) -> watch(Key, Server, Ports) end, #{}, all())}.

-spec handle_call(term(), gen_server:from(), ports()) ->
    {reply, {ok, pid()} | {error, procket:posix() | full | einval}, ports()}.
handle_call({start, Key}, _From, Ports) ->
    case Ports of
        #{Key := Pid} ->
            {reply, {ok, Pid}, Ports};
        #{} ->
            Openers = [opener || {opener, _} <- maps:keys(Ports)],
            case Key =/= worker andalso length(Openers) >= ?MOST_OPENERS of
                true -> {reply, {error, full}, Ports};
                false -> start_port(Key, Ports)
            end
    end;
handle_call(_Request, _From, Ports) ->
    {reply, {error, einval}, Ports}.

start_port(Key, Ports) ->
    case procket_port_sup:start_port(#{key => Key, command => command(Key)}) of
        {ok, Pid} -> {reply, {ok, Pid}, watch(Key, Pid, Ports)};
        {error, _} = Error -> {reply, Error, Ports}
    end.

-spec handle_cast(term(), ports()) -> {noreply, ports()}.
handle_cast({watch, Key, Pid}, Ports) ->
    {noreply, watch(Key, Pid, Ports)};
handle_cast(_Message, Ports) ->
    {noreply, Ports}.

-spec handle_info(term(), ports()) -> {noreply, ports()}.
handle_info({{'DOWN', Key}, _Ref, process, Pid, _Reason}, Ports) ->
    case Ports of
        #{Key := Pid} ->
            gone(Key),
            {noreply, maps:remove(Key, Ports)};
        #{} ->
            {noreply, Ports}
    end;
handle_info(_Message, Ports) ->
    {noreply, Ports}.

watch(Key, Pid, Ports) ->
    _ = monitor(process, Pid, [{tag, {'DOWN', Key}}]),
    Ports#{Key => Pid}.

command(worker) -> procket_command:worker();
command({opener, Command}) -> Command.
