%% @private
%% The registry of port processes and their servers: without the registry nobody would find them, so they end with it.
-module(procket_ports_sup).
-behaviour(supervisor).

-export([start_link/0, init/1]).

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    ok = procket_ports:new_table(),
    ok = procket_lane:new_table(),
    ok = procket_refusal:new_table(),
    Children = [
        #{id => procket_ports, start => {procket_ports, start_link, []}},
        #{id => procket_port_sup, start => {procket_port_sup, start_link, []}, type => supervisor}
    ],
    {ok, {#{strategy => rest_for_one, intensity => 5, period => 10}, Children}}.
