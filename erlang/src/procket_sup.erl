%% @private
%% The supervisors of the application:
%%
%% procket_sup (one_for_one)
%%   procket_ports_sup (rest_for_one): without the registry nobody finds a port process, so they end with it
%%     procket_registry: which port process serves what
%%     procket_port_sup (simple_one_for_one): a procket_port for each port process
%%   procket_memory: which process owns which memory of the worker
%%   procket_select: which process waits for which descriptor
%%   gen_raw_sup (simple_one_for_one): a gen_raw_server for each open socket of gen_raw
%%
%% Port processes and sockets are started when they are needed, so none is restarted. Each table belongs to the supervisor of the servers
%% that write it: it outlives them.
-module(procket_sup).
-behaviour(supervisor).

-export([start_link/0, start_link/1, start_port/1, start_socket/2, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    start_link(?MODULE).

-spec start_link(Name :: atom()) -> {ok, pid()} | {error, term()}.
start_link(Name) ->
    supervisor:start_link({local, Name}, ?MODULE, Name).

%% Starts a {@link procket_port}. `epipe': the application is stopping.
-spec start_port(Options :: map()) -> {ok, pid()} | {error, enomem | epipe}.
start_port(Options) ->
    case start_child(procket_port_sup, [Options]) of
        {error, Reason} when Reason =/= epipe -> {error, enomem};
        Result -> Result
    end.

%% Starts a {@link gen_raw_server}.
-spec start_socket(Options :: map(), Owner :: pid()) -> {ok, pid()} | {error, term()}.
start_socket(Options, Owner) ->
    start_child(gen_raw_sup, [Options, Owner]).

start_child(Supervisor, Args) ->
    try supervisor:start_child(Supervisor, Args) of
        {ok, Pid} when is_pid(Pid) -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    catch
        %% This supervisor has ended before the process that asks.
        exit:_ -> {error, epipe}
    end.

-spec init(Name :: atom()) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(procket_sup) ->
    ok = procket_table:new(procket_memory, [{read_concurrency, true}]),
    ok = procket_table:new(procket_select, [{read_concurrency, true}]),
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, [
        supervisor(procket_ports_sup),
        worker(procket_memory, permanent),
        worker(procket_select, permanent),
        supervisor(gen_raw_sup)
    ]}};
init(procket_ports_sup) ->
    ok = procket_table:new(procket_registry, [{read_concurrency, true}]),
    ok = procket_table:new(procket_direct, [{write_concurrency, true}]),
    ok = procket_table:new(procket_denial, []),
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 10}, [
        worker(procket_registry, permanent),
        supervisor(procket_port_sup)
    ]}};
init(procket_port_sup) ->
    {ok, {#{strategy => simple_one_for_one}, [worker(procket_port, temporary)]}};
init(gen_raw_sup) ->
    ok = procket_table:new(gen_raw_server, [bag, {read_concurrency, true}]),
    ok = procket_table:new(gen_raw_flow, []),
    {ok, {#{strategy => simple_one_for_one}, [worker(gen_raw_server, temporary)]}}.

worker(Module, Restart) ->
    #{id => Module, start => {Module, start_link, []}, restart => Restart}.

supervisor(Name) ->
    #{id => Name, start => {?MODULE, start_link, [Name]}, type => supervisor}.
