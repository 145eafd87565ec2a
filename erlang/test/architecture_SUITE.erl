%% docs/architecture.md says which layer a module belongs to, and the modules keep to it.
-module(architecture_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [every_module_has_a_layer, no_call_upwards, no_circle].

init_per_suite(Config) ->
    {ok, _} = xref:start(?MODULE),
    ok = xref:set_default(?MODULE, [{warnings, false}, {verbose, false}]),
    {ok, Modules} = xref:add_directory(?MODULE, filename:dirname(code:which(procket))),
    {ok, Calls} = xref:q(?MODULE, "ME || AM"),
    [{modules, Modules}, {calls, [{From, To} || {From, To} <- Calls, From =/= To]}, {layers, layers()} | Config].

end_per_suite(_Config) ->
    xref:stop(?MODULE).

%% The rows of the table, from the top down: `| layer | modules | job |'.
layers() ->
    {ok, Text} = file:read_file(filename:join(procket_test:project_root(), "docs/architecture.md")),
    {match, Rows} = re:run(Text, "^\\| (API|gen_raw|calls|transport|base) \\| ([^|]+) \\|", [global, multiline, {capture, all_but_first, list}]),
    [{list_to_atom(Module), Layer} || [Layer, Modules] <- Rows, Module <- string:lexemes(Modules, "`, ")].

height(Layer) ->
    length(lists:takewhile(fun(Other) -> Other =/= Layer end, ["base", "transport", "calls", "gen_raw", "API"])).

every_module_has_a_layer(Config) ->
    Modules = proplists:get_value(modules, Config),
    ?assert(length(Modules) > 30),
    ?assertEqual(lists:sort(Modules), lists:sort([Module || {Module, _} <- proplists:get_value(layers, Config)])).

no_call_upwards(Config) ->
    Layers = maps:from_list(proplists:get_value(layers, Config)),
    Calls = proplists:get_value(calls, Config),
    ?assert(length(Calls) > 50),
    ?assertEqual([], [Call || {From, To} = Call <- Calls, height(maps:get(From, Layers)) < height(maps:get(To, Layers))]).

no_circle(Config) ->
    Graph = digraph:new(),
    lists:foreach(fun(Module) -> digraph:add_vertex(Graph, Module) end, proplists:get_value(modules, Config)),
    lists:foreach(fun({From, To}) -> digraph:add_edge(Graph, From, To) end, proplists:get_value(calls, Config)),
    ?assertEqual([], [Circle || [_, _ | _] = Circle <- digraph_utils:strong_components(Graph)]).
