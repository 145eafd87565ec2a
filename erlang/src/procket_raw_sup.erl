%% @private
%% A {@link procket_raw} for each open socket of `gen_raw'. One that ends is not started again: its owner is told.
-module(procket_raw_sup).
-behaviour(supervisor).

-export([start_link/0, start_socket/2, init/1]).
-export([register/1, sockets/1]).

%% Which sockets capture from a descriptor of the BEAM.
-define(TABLE, ?MODULE).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec start_socket(procket_raw_options:options(), Owner :: pid()) -> {ok, pid()} | {error, term()}.
start_socket(Options, Owner) ->
    try supervisor:start_child(?MODULE, [Options, Owner]) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    catch
        %% The application is stopping.
        exit:Reason -> {error, Reason}
    end.

%% The calling socket captures from this descriptor, as long as it lives. Those that have ended are forgotten.
-spec register(procket:fd()) -> true.
register(FD) ->
    _ = [ets:delete_object(?TABLE, Row) || {_, Pid} = Row <- ets:lookup(?TABLE, FD), not is_process_alive(Pid)],
    ets:insert(?TABLE, {FD, self()}).

-spec sockets(procket:fd()) -> [pid()].
sockets(FD) ->
    try
        [Pid || {_, Pid} <- ets:take(?TABLE, FD)]
    catch
        error:badarg -> []
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = procket_table:new(?TABLE, [bag, {read_concurrency, true}]),
    ok = procket_raw_flow:new_table(),
    Child = #{id => procket_raw, start => {procket_raw, start_link, []}, restart => temporary},
    {ok, {#{strategy => simple_one_for_one}, [Child]}}.
