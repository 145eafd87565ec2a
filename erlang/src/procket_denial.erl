%% @private
%% The requests that openers have denied: counted by reason, and logged once for each.
-module(procket_denial).

-export([new/3, log/3, counts/1]).

-export_type([denial/0]).

-type denial() :: {procket_command:command(), procket:posix(), Why :: binary()}.

%% `{{Command, Why}, Times, Logged}': how often an opener denied a request for a reason, and how often that was to be logged.
-define(TABLE, ?MODULE).
%% The most rows: commands are whatever callers name.
-define(MAX_ROWS, 100).
%% The longest reason, in bytes.
-define(MAX_REASON, 200).

%% An opener denied a request, and said why: counts it.
-spec new(procket_command:command(), procket:posix(), Why :: binary()) -> denial().
new(Command, Posix, Said) ->
    Why = printable(Said),
    _ = count({Command, Why}, 2),
    {Command, Posix, Why}.

%% An opener may be any program.
printable(Said) ->
    << <<(case C of _ when C >= 32, C =< 126 -> C; _ -> $? end)>> || <<C>> <= binary:part(Said, 0, min(?MAX_REASON, byte_size(Said))) >>.

-spec log(denial(), open | dev | capture, Request :: map()) -> ok.
log({Command, Posix, Why}, Function, Request) ->
    case count({Command, Why}, 3) of
        1 -> procket_log:request_denied(procket_command:to_string(Command), what(Function, Request), Posix, Why);
        _ -> ok
    end.

what(open, #{family := Family, type := Type, protocol := Protocol, port := 0}) ->
    io_lib:format("a socket (family ~b, type ~b, protocol ~b)", [Family, Type, Protocol]);
what(open, #{family := Family, type := Type, protocol := Protocol, port := Port}) ->
    io_lib:format("port ~b (family ~b, type ~b, protocol ~b)", [Port, Family, Type, Protocol]);
what(capture, #{interface := <<>>}) ->
    "a capture of all interfaces";
what(capture, #{interface := Interface}) ->
    ["a capture of ", Interface];
what(dev, #{name := Name}) ->
    ["device ", Name].

count(Key, Position) ->
    try
        true = ets:info(?TABLE, size) < ?MAX_ROWS orelse ets:member(?TABLE, Key) orelse ets:delete_all_objects(?TABLE),
        ets:update_counter(?TABLE, Key, {Position, 1}, {Key, 0, 0})
    catch
        %% The application is stopping.
        error:badarg -> 0
    end.

%% Why an opener denied requests, and how often.
-spec counts(procket_command:command()) -> #{Why :: binary() => pos_integer()}.
counts(Command) ->
    try
        maps:from_list([{Why, Times} || [Why, Times] <- ets:match(?TABLE, {{Command, '$1'}, '$2', '_'})])
    catch
        error:badarg -> #{}
    end.
