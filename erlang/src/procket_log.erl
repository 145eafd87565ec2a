%% @private
%% What the application says through `logger', with the domain `[procket]'. OTP's handler `default' drops every domain but its own, so the
%% application has a handler of its own, `procket', which prints what `default' does not.
-module(procket_log).

-include_lib("kernel/include/logger.hrl").

-export([show/0, hide/0, filter/2]).
-export([no_executable/2, other_version/3, not_started/2, request_denied/4, ended/2, no_directory/2]).

-define(META, #{domain => [procket]}).
-define(HANDLER, procket).

%% Adds the handler, unless the node has one of that name.
-spec show() -> ok.
show() ->
    _ = logger:add_handler(?HANDLER, logger_std_h, #{
        filter_default => stop,
        filters => [{procket, {fun ?MODULE:filter/2, []}}],
        formatter => {logger_formatter, #{legacy_header => true, single_line => false}}
    }),
    ok.

-spec hide() -> ok.
hide() ->
    _ = logger:remove_handler(?HANDLER),
    ok.

%% Passes an event of this application that the handler `default' would not print.
-spec filter(logger:log_event(), term()) -> logger:filter_return().
filter(#{meta := #{domain := [procket | _]}} = Event, _Extra) ->
    case is_printed(Event, logger:get_handler_config(default)) of
        true -> stop;
        false -> Event
    end;
filter(_Event, _Extra) ->
    stop.

is_printed(#{level := Level} = Event, {ok, #{level := Least} = Config}) ->
    logger:compare_levels(Level, Least) =/= lt andalso
        passes(Event, maps:get(filters, Config, []), maps:get(filter_default, Config, log));
%% A node without that handler prints nothing.
is_printed(_Event, {error, _}) ->
    true.

passes(Event, Filters, Default) ->
    passes(Event, Filters, Default, ignored).

passes(_Event, [], Default, ignored) -> Default =:= log;
passes(_Event, [], _Default, passed) -> true;
passes(Event, [{_, {Filter, Extra}} | Filters], Default, Before) ->
    try Filter(Event, Extra) of
        stop -> false;
        ignore -> passes(Event, Filters, Default, Before);
        #{} = Other -> passes(Other, Filters, Default, passed)
    catch
        _:_ -> passes(Event, Filters, Default, Before)
    end.

%% The executable of the application itself cannot be run.
-spec no_executable(file:filename_all(), procket:posix()) -> ok.
no_executable(Path, Reason) ->
    ?LOG_ERROR(
        "procket: the port program ~ts cannot be run: ~ts (~ts). It has to be an executable file of the file system, "
        "outside of any archive, built for this system and its C library; "
        "say where with {procket, [{port_executable, \"/path/to/procket\"}]} in the node's configuration, "
        "or with application:set_env(procket, port_executable, \"/path/to/procket\").",
        [Path, Reason, file:format_error(Reason)],
        ?META
    ).

%% Executable and modules do not belong together.
-spec other_version(Command :: string(), Theirs :: term(), Ours :: integer()) -> ok.
other_version(Command, Theirs, Ours) ->
    ?LOG_ERROR(
        "procket: ~ts speaks version ~0tp of the protocol, and the modules of this node version ~b: the executable and the modules "
        "have to come from one build. `procket --version' says what an executable speaks.",
        [Command, Theirs, Ours],
        ?META
    ).

%% A command ended, or could not be executed, before it had connected.
-spec not_started(Command :: string(), Why :: term()) -> ok.
not_started(Command, Why) ->
    ?LOG_NOTICE("procket: ~ts did not start: ~0tp", [Command, Why], ?META).

%% An opener denied a request, and said why.
-spec request_denied(Command :: string(), What :: iodata(), procket:posix(), Why :: binary()) -> ok.
request_denied(Command, What, Posix, Why) ->
    ?LOG_NOTICE(
        "procket: ~ts refused ~ts with ~ts: ~ts. This is logged once for each reason; procket:info/0 counts the refusals.",
        [Command, What, Posix, Why],
        ?META
    ).

%% A port process that was in use ended, and was not told to.
-spec ended(Command :: string(), Why :: term()) -> ok.
ended(Command, Why) ->
    ?LOG_WARNING(
        "procket: the port process ~ts ended unexpectedly: ~0tp. Calls in flight return {error, epipe}; the next one starts another.",
        [Command, Why],
        ?META
    ).

%% There is nowhere to put the socket over which a port process connects.
-spec no_directory([file:filename()], procket:posix()) -> ok.
no_directory(Tried, Reason) ->
    ?LOG_ERROR(
        "procket: no directory for the socket of a port process: ~ts (~ts). Tried: ~ts. Set TMPDIR to a directory that can be written.",
        [Reason, file:format_error(Reason), lists:join(", ", Tried)],
        ?META
    ).
