%% @private
%% The application's tables. Each belongs to a supervisor: it outlives the server that writes it, and goes with the application.
-module(procket_table).

-export([new/2, delete/2]).

%% Makes a named, public table. Called by the `init/1' of a supervisor, which a code change calls again.
-spec new(atom(), [term()]) -> ok.
new(Name, Options) ->
    case ets:whereis(Name) of
        undefined ->
            Name = ets:new(Name, [named_table, public | Options]),
            ok;
        _Tid ->
            ok
    end.

%% Deletes a row, also if the table has gone: the application is stopping.
-spec delete(ets:tab(), Key :: term()) -> ok.
delete(Table, Key) ->
    try
        true = ets:delete(Table, Key),
        ok
    catch
        error:badarg -> ok
    end.
