%% @private
%% procket_sup (one_for_one)
%%   procket_ports_sup (rest_for_one)
%%     procket_ports: which port process serves what
%%     procket_port_sup (simple_one_for_one): a {@link procket_port} for each port process
%%   procket_memory: which process owns which memory of the worker
%%   procket_select: which process waits for which descriptor
%%   procket_raw_sup (simple_one_for_one): a {@link procket_raw} for each socket of `gen_raw'
-module(procket_sup).
-behaviour(supervisor).

-export([start_link/0, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = procket_memory:new_table(),
    ok = procket_select:new_table(),
    Children = [
        #{id => procket_ports_sup, start => {procket_ports_sup, start_link, []}, type => supervisor},
        #{id => procket_memory, start => {procket_memory, start_link, []}},
        #{id => procket_select, start => {procket_select, start_link, []}},
        #{id => procket_raw_sup, start => {procket_raw_sup, start_link, []}, type => supervisor}
    ],
    {ok, {#{strategy => one_for_one, intensity => 5, period => 10}, Children}}.
