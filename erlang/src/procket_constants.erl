%% @private
%% The constants of the system's headers, fetched from the worker once.
-module(procket_constants).

-export([all/1, lookup/2]).

-type table() :: socket_level | socket_optname | socket_protocol.

%% The table, the name that is preferred for a number before its others.
-spec all(table()) -> [{atom(), integer()}].
all(Table) ->
    case persistent_term:get({?MODULE, Table}, undefined) of
        undefined ->
            {ok, Constants} = procket_call:ask(constants, [Table]),
            persistent_term:put({?MODULE, Table}, Constants),
            Constants;
        Constants ->
            Constants
    end.

-spec lookup(table(), atom() | integer()) -> atom() | integer() | undefined.
lookup(Table, Name) when is_atom(Name) ->
    proplists:get_value(Name, all(Table));
lookup(Table, Number) when is_integer(Number) ->
    case lists:keyfind(Number, 2, all(Table)) of
        {Name, Number} -> Name;
        false -> undefined
    end.
