%% @private
%% Port processes are started when they are needed, and again when they are needed after their end: so none is restarted here.
-module(procket_port_sup).
-behaviour(supervisor).

-export([start_link/0, start_port/1, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% `epipe': the application is stopping, and this supervisor ends before the server that asks it.
-spec start_port(procket_port:options()) -> {ok, pid()} | {error, enomem | epipe}.
start_port(Options) ->
    try supervisor:start_child(?MODULE, [Options]) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {error, _} -> {error, enomem}
    catch
        exit:_ -> {error, epipe}
    end.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    Child = #{id => procket_port, start => {procket_port, start_link, []}, restart => temporary},
    {ok, {#{strategy => simple_one_for_one}, [Child]}}.
