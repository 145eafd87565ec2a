%% @private
%% The application's tables, which go with it: a row may be deleted by one that still runs.
-module(procket_table).

-export([delete/2]).

-spec delete(ets:tab(), Key :: term()) -> ok.
delete(Table, Key) ->
    try
        true = ets:delete(Table, Key),
        ok
    catch
        %% The application is stopping, and the table has gone.
        error:badarg -> ok
    end.
