%% @private
%% What is said through `logger', with the domain `[procket]'. OTP's handler `default' drops every domain but its own:
%% while the application runs, a filter of that handler lets this one pass.
-module(procket_log).

-include_lib("kernel/include/logger.hrl").

-export([show/0, hide/0]).
-export([no_executable/2, other_version/3, refused/2, request_refused/4, ended/2, no_directory/2]).

-define(META, #{domain => [procket]}).

%% Lets the messages pass OTP's default handler, where there is one.
-spec show() -> ok.
show() ->
    Filter = {fun logger_filters:domain/2, {log, sub, [procket]}},
    _ = logger:add_handler_filter(default, procket, Filter),
    ok.

-spec hide() -> ok.
hide() ->
    _ = logger:remove_handler_filter(default, procket),
    ok.

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
-spec other_version(procket_command:command(), Theirs :: term(), Ours :: integer()) -> ok.
other_version(Command, Theirs, Ours) ->
    ?LOG_ERROR(
        "procket: ~ts speaks version ~0tp of the protocol, and the modules of this node version ~b: the executable and the modules "
        "have to come from one build. `procket --version' says what an executable speaks.",
        [procket_command:to_string(Command), Theirs, Ours],
        ?META
    ).

%% A command ended, or was refused, before it had connected.
-spec refused(procket_command:command(), Why :: term()) -> ok.
refused(Command, Why) ->
    ?LOG_NOTICE("procket: ~ts did not start: ~0tp", [procket_command:to_string(Command), Why], ?META).

%% An opener refused a request, and said why.
-spec request_refused(procket_command:command(), What :: iodata(), procket:posix(), Why :: binary()) -> ok.
request_refused(Command, What, Posix, Why) ->
    ?LOG_NOTICE(
        "procket: ~ts refused ~ts with ~ts: ~ts. This is logged once for each reason; procket:info/0 counts the refusals.",
        [procket_command:to_string(Command), What, Posix, Why],
        ?META
    ).

%% A port process that was in use ended, and was not told to.
-spec ended(procket_command:command(), Why :: term()) -> ok.
ended(Command, Why) ->
    ?LOG_WARNING(
        "procket: the port process ~ts ended unexpectedly: ~0tp. Calls in flight return {error, epipe}; the next one starts another.",
        [procket_command:to_string(Command), Why],
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
