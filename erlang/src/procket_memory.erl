%% @private
%% Who owns memory of the worker: it is freed when the process that allocated it ends.
-module(procket_memory).
-behaviour(gen_server).

-export([alloc/1, buf/1, memcpy/2]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TABLE, ?MODULE).

-type handles() :: [pos_integer()].
-type state() :: #{Monitor :: reference() => {Worker :: pid(), [procket:resource()], handles()}}.

-spec alloc([binary() | {ptr, non_neg_integer() | binary()}]) ->
    {ok, binary(), [procket:resource()]} | {error, procket:posix()}.
alloc(Items) ->
    case lists:all(fun is_item/1, Items) of
        true ->
            case procket_ports:get(worker) of
                {ok, #{server := Worker}} -> procket_call:application(?MODULE, {alloc, Worker, Items});
                {error, _} = Error -> Error
            end;
        false ->
            procket_error:badarg({items, Items})
    end.

is_item(Binary) when is_binary(Binary) -> true;
is_item({ptr, Size}) when is_integer(Size), Size >= 0 -> true;
is_item({ptr, Binary}) -> is_binary(Binary);
is_item(_) -> false.

-spec buf(procket:resource()) -> {ok, binary()} | {error, procket:posix()}.
buf(Resource) ->
    with_handle(Resource, fun(Handle) -> procket_call:worker(buf, [Handle]) end).

-spec memcpy(procket:resource(), binary()) -> ok | {error, procket:posix()}.
memcpy(Resource, Data) ->
    with_handle(Resource, fun(Handle) ->
        case procket_call:worker(memcpy, [Handle, Data]) of
            {error, erange} -> procket_error:badarg({memcpy, Data});
            Result -> Result
        end
    end).

%% The memory went with the worker that had it: a later worker's handles are others.
with_handle(Resource, Fun) ->
    try ets:lookup_element(?TABLE, Resource, 2) of
        {Worker, Handle} ->
            case procket_ports:get(worker) of
                {ok, #{server := Worker}} -> Fun(Handle);
                _ -> {error, enomem}
            end
    catch
        error:badarg -> {error, enomem}
    end.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, state()}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, protected, {read_concurrency, true}]),
    {ok, #{}}.

-spec handle_call(term(), gen_server:from(), state()) -> {reply, term(), state()}.
handle_call({alloc, Worker, Items}, {Pid, _}, Owners) ->
    case procket_call:worker(alloc, [Items]) of
        {ok, Struct, Handles} ->
            Resources = [make_ref() || _ <- Handles],
            ets:insert(?TABLE, [{R, {Worker, H}} || {R, H} <- lists:zip(Resources, Handles)]),
            Monitor = monitor(process, Pid),
            {reply, {ok, Struct, Resources}, Owners#{Monitor => {Worker, Resources, Handles}}};
        {error, _} = Error ->
            {reply, Error, Owners}
    end.

-spec handle_cast(term(), state()) -> {noreply, state()}.
handle_cast(_Message, Owners) ->
    {noreply, Owners}.

-spec handle_info(term(), state()) -> {noreply, state()}.
handle_info({'DOWN', Monitor, process, _Pid, _Reason}, Owners) ->
    case maps:take(Monitor, Owners) of
        {{Worker, Resources, Handles}, Others} ->
            lists:foreach(fun(Resource) -> ets:delete(?TABLE, Resource) end, Resources),
            _ =
                case procket_ports:get(worker) of
                    {ok, #{server := Worker}} -> procket_call:worker(free, [Handles]);
                    _ -> freed_with_its_worker
                end,
            {noreply, Others};
        error ->
            {noreply, Owners}
    end;
handle_info(_Message, Owners) ->
    {noreply, Owners}.
