%% @private
-module(procket_app).
-behaviour(application).

-export([ensure_started/0]).
-export([start/2, stop/1]).

%% Starts the application unless it runs. Where its modules stand without `procket.app' beside them, they say what it would.
-spec ensure_started() -> ok | {error, term()}.
ensure_started() ->
    case application:ensure_all_started(procket) of
        {ok, _} ->
            ok;
        {error, {procket, {_, "procket.app"}}} ->
            case application:load(specification()) of
                ok -> ensure_started();
                {error, {already_loaded, procket}} -> ensure_started();
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

specification() ->
    {application, procket, [
        {modules, modules()},
        {registered, [procket_sup, procket_ports_sup, procket_port_sup, procket_ports, procket_memory, procket_select, procket_raw_sup]},
        {applications, [kernel, stdlib]},
        {mod, {?MODULE, []}}
    ]}.

%% Those of the application, which may not be alone there.
modules() ->
    {ok, Files} = erl_prim_loader:list_dir(filename:dirname(code:which(?MODULE))),
    Names = [filename:rootname(File) || File <- Files, filename:extension(File) =:= ".beam"],
    [list_to_atom(Name) || Name <- Names, lists:prefix("procket", Name) orelse lists:member(Name, ["packet", "bpf", "gen_raw"])].

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
