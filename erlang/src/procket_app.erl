%% @private
-module(procket_app).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    {ok, Modules} = application:get_key(procket, modules),
    %% Where no descriptor is left, none could be loaded.
    _ = code:ensure_modules_loaded(Modules),
    ok = procket_log:show(),
    ok = procket_channel:sweep(),
    procket_sup:start_link().

-spec stop(term()) -> ok.
stop(_State) ->
    procket_log:hide().
