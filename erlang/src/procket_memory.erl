%% @private
%% Memory of the worker: which process owns it. It is freed by {@link free/1}, or when its owner ends.
%%
%% A caller asks the worker itself; the server only notes which process owns what, so a worker that hangs keeps nobody waiting but its
%% callers. Memory is noted before it is asked for: whatever becomes of the request, what is noted is freed.
-module(procket_memory).
-behaviour(gen_server).

-export([alloc/1, buf/1, memcpy/2, free/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

%% {Resource, Handle, Owner}
-define(TABLE, ?MODULE).
%% The most that can be asked for, in bytes: what a signed size of 64 bits holds.
-define(MAX_SIZE, 16#7fffffffffffffff).

-type item() :: binary() | {ptr, non_neg_integer() | binary()}.
-type handle() :: pos_integer().
-type state() :: #{Owner :: pid() => {Monitor :: reference(), #{procket:resource() => handle()}}}.

-spec alloc([item()]) -> {ok, binary(), [procket:resource()]} | {error, procket:posix()}.
alloc(Items) ->
    case is_list(Items) andalso pointers(Items, 0) of
        0 -> {ok, iolist_to_binary(Items), []};
        Count when is_integer(Count) -> alloc(Items, Count);
        false -> procket_error:badarg({items, Items})
    end.

alloc(Items, Count) ->
    case note(Count) of
        {error, _} = Error -> Error;
        Noted -> ask(Items, lists:unzip(Noted))
    end.

note(Count) ->
    case procket_client:port(worker) of
        {ok, _} -> procket_app:call(?MODULE, {note, Count});
        {error, _} = Error -> Error
    end.

ask(Items, {Resources, Handles}) ->
    case procket_calls:worker(alloc, [Items, Handles]) of
        {ok, Struct} ->
            {ok, Struct, Resources};
        {error, _} = Error ->
            _ = procket_app:call(?MODULE, {free, Resources}),
            Error
    end.

%% How many of the items are pointers; `false' if one is no item.
pointers([Item | Items], Count) ->
    case Item of
        Binary when is_binary(Binary) -> pointers(Items, Count);
        {ptr, Size} when is_integer(Size), Size >= 0, Size =< ?MAX_SIZE -> pointers(Items, Count + 1);
        {ptr, Binary} when is_binary(Binary) -> pointers(Items, Count + 1);
        _ -> false
    end;
pointers(End, Count) ->
    End =:= [] andalso Count.

-spec buf(procket:resource()) -> {ok, binary()} | {error, procket:posix()}.
buf(Resource) ->
    with_handle(Resource, fun(Handle) -> procket_calls:worker(buf, [Handle]) end).

-spec memcpy(procket:resource(), binary()) -> ok | {error, procket:posix()}.
memcpy(Resource, Data) ->
    with_handle(Resource, fun(Handle) ->
        case procket_calls:worker(memcpy, [Handle, Data]) of
            {error, erange} -> procket_error:badarg({memcpy, Data});
            Result -> Result
        end
    end).

-spec free(procket:resource()) -> ok | {error, procket:posix()}.
free(Resource) ->
    with_handle(Resource, fun(Handle) ->
        case procket_calls:worker(free, [[Handle]]) of
            ok -> procket_app:call(?MODULE, {forget, [Resource]});
            {error, _} = Error -> Error
        end
    end).

%% A worker knows only the handles that it was asked for: memory goes with the worker that had it.
with_handle(Resource, Fun) ->
    try ets:lookup_element(?TABLE, Resource, 2) of
        Handle -> Fun(Handle)
    catch
        error:badarg -> {error, enomem}
    end.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% What an earlier server noted is still there.
-spec init([]) -> {ok, state()}.
init([]) ->
    {ok, lists:foldl(fun add/2, #{}, ets:tab2list(?TABLE))}.

-spec handle_call(term(), gen_server:from(), state()) -> {reply, term(), state()}.
handle_call({note, Count}, {Owner, _}, Owners) ->
    %% Increasing for as long as the node lives: no worker sees a number twice.
    Noted = [{make_ref(), erlang:unique_integer([positive, monotonic])} || _ <- lists:seq(1, Count)],
    Rows = [{Resource, Handle, Owner} || {Resource, Handle} <- Noted],
    true = ets:insert(?TABLE, Rows),
    {reply, Noted, lists:foldl(fun add/2, Owners, Rows)};
handle_call({forget, Resources}, _From, Owners) ->
    {_Handles, Left} = take(Resources, Owners),
    {reply, ok, Left};
handle_call({free, Resources}, _From, Owners) ->
    {Handles, Left} = take(Resources, Owners),
    ok = free_all(Handles),
    {reply, ok, Left};
handle_call(_Request, _From, Owners) ->
    {reply, {error, einval}, Owners}.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Message, Owners) ->
    {noreply, Owners}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'DOWN', _Monitor, process, Owner, _Reason}, Owners) ->
    case Owners of
        #{Owner := {_, Own}} ->
            {Handles, Left} = take(maps:keys(Own), Owners),
            ok = free_all(Handles),
            {noreply, Left};
        #{} ->
            {noreply, Owners}
    end;
handle_info(_Message, Owners) ->
    {noreply, Owners}.

add({Resource, Handle, Owner}, Owners) ->
    {Monitor, Own} =
        case Owners of
            #{Owner := Known} -> Known;
            #{} -> {monitor(process, Owner), #{}}
        end,
    Owners#{Owner => {Monitor, Own#{Resource => Handle}}}.

-spec take([procket:resource()], state()) -> {[handle()], state()}.
take(Resources, Owners) ->
    Rows = lists:append([ets:take(?TABLE, Resource) || Resource <- Resources]),
    {[Handle || {_, Handle, _} <- Rows], lists:foldl(fun remove/2, Owners, Rows)}.

%% A process that owns nothing more is not monitored any longer.
remove({Resource, _Handle, Owner}, Owners) ->
    #{Owner := {Monitor, Own}} = Owners,
    case maps:remove(Resource, Own) of
        None when map_size(None) =:= 0 ->
            true = demonitor(Monitor, [flush]),
            maps:remove(Owner, Owners);
        Others ->
            Owners#{Owner := {Monitor, Others}}
    end.

-spec free_all([handle()]) -> ok.
free_all([]) -> ok;
free_all(Handles) -> procket_client:tell(free, [Handles]).
