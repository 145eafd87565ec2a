%% @private
-module(procket_app).
-behaviour(application).

-export([ensure_started/0, call/2]).
-export([start/2, stop/1]).

%% Starts the application unless it runs. If its modules are there without `procket.app' beside them, this module says what that would.
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

%% Asks a server of the application. If it ends meanwhile: `{error, epipe}'.
-spec call(Server :: atom(), Request :: term()) -> term().
call(Server, Request) ->
    try
        gen_server:call(Server, Request, infinity)
    catch
        exit:_ -> {error, epipe}
    end.

specification() ->
    {application, procket, [
        {modules, modules()},
        {registered, [procket_sup, procket_ports_sup, procket_port_sup, procket_registry, procket_memory, procket_select, gen_raw_sup]},
        {applications, [kernel, stdlib]},
        {mod, {?MODULE, []}}
    ]}.

%% Those of the application, which may not be alone in their directory.
modules() ->
    {ok, Files} = erl_prim_loader:list_dir(filename:dirname(code:which(?MODULE))),
    Names = [filename:rootname(File) || File <- Files, filename:extension(File) =:= ".beam"],
    [
        list_to_atom(Name)
     || Name <- Names, lists:prefix("procket", Name) orelse lists:prefix("gen_raw", Name) orelse lists:member(Name, ["packet", "bpf"])
    ].

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Args) ->
    {ok, Modules} = application:get_key(procket, modules),
    %% If no descriptor is left, none could be loaded later.
    _ = code:ensure_modules_loaded([gen_statem | Modules]),
    ok = procket_log:show(),
    procket_sup:start_link().

-spec stop(term()) -> ok.
stop(_State) ->
    procket_log:hide().
