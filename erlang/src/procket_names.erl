%% @private
%% Names of the system's headers, and what differs between systems: families, constants, native addresses.
-module(procket_names).

-export([family/1, constants/1, constant/2, errno/1]).
-export([sockaddr_common/2, unix_path_max/0, socket_type/1, has_relative_path/1, internet_address/1]).

-type table() :: socket_level | socket_optname | socket_protocol.

-spec family(procket:family()) -> non_neg_integer().
family(Number) when is_integer(Number), Number >= 0, Number =< 16#ffff -> Number;
family(unspec) -> 0;
family(local) -> 1;
family(unix) -> 1;
family(file) -> 1;
family(inet) -> 2;
family(Name) when is_atom(Name) -> family(Name, os:type()).

family(inet6, {unix, linux}) -> 10;
family(netlink, {unix, linux}) -> 16;
family(packet, {unix, linux}) -> 17;
family(Name, _) ->
    case procket_client:ask(family, [Name]) of
        {ok, Number} -> Number;
        {error, _} -> procket_error:badarg({family, Name})
    end.

%% The constants of the system's headers in a table, the name that is preferred for a number before its others. The worker is asked once.
-spec constants(table()) -> [{atom(), integer()}].
constants(Table) ->
    case persistent_term:get({?MODULE, Table}, undefined) of
        undefined ->
            {ok, Constants} = procket_client:ask(constants, [Table]),
            persistent_term:put({?MODULE, Table}, Constants),
            Constants;
        Constants ->
            Constants
    end.

%% The number of a name, or the preferred name of a number.
-spec constant(table(), atom() | integer()) -> atom() | integer() | undefined.
constant(Table, Name) when is_atom(Name) ->
    proplists:get_value(Name, constants(Table));
constant(Table, Number) when is_integer(Number) ->
    case lists:keyfind(Number, 2, constants(Table)) of
        {Name, Number} -> Name;
        false -> undefined
    end.

-spec errno(non_neg_integer()) -> procket:posix().
errno(Number) ->
    {ok, Name} = procket_client:ask(errno_id, [Number]),
    Name.

-spec sockaddr_common(procket:family(), Length :: 0..255) -> <<_:16>>.
sockaddr_common(Family, Length) when is_integer(Length), Length >= 0, Length =< 255 ->
    Number = family(Family),
    case os:type() of
        {unix, linux} -> <<Number:16/native>>;
        {unix, _} -> <<Length:8, Number:8>>
    end.

-spec unix_path_max() -> 104 | 108.
unix_path_max() ->
    case os:type() of
        {unix, linux} -> 108;
        {unix, _} -> 104
    end.

%% The number of a socket's type without SOCK_CLOEXEC and SOCK_NONBLOCK, which every socket has.
-spec socket_type(non_neg_integer()) -> non_neg_integer().
socket_type(Type) ->
    Type band bnot socket_flags(os:type()).

socket_flags({unix, linux}) -> 8#2004000;
socket_flags({unix, darwin}) -> 0;
socket_flags({unix, _}) -> 16#30000000.

%% Whether a native address is that of a Unix socket at a path that does not begin at the root.
-spec has_relative_path(Sockaddr :: binary()) -> boolean().
has_relative_path(<<Common:2/binary, First, _/binary>>) when First =/= 0, First =/= $/ ->
    case os:type() of
        {unix, linux} -> Common =:= <<1:16/native>>;
        {unix, _} -> binary:last(Common) =:= 1
    end;
has_relative_path(Sockaddr) when is_binary(Sockaddr) ->
    false.

%% A native address of inet or inet6 as an address of OTP's `socket'.
-spec internet_address(Sockaddr :: binary()) -> socket:sockaddr_in() | socket:sockaddr_in6() | none.
internet_address(<<Common:2/binary, Port:16, A, B, C, D, _/binary>> = Sockaddr) when byte_size(Sockaddr) =:= 16 ->
    case Common =:= sockaddr_common(inet, 16) of
        true -> #{family => inet, port => Port, addr => {A, B, C, D}};
        false -> none
    end;
internet_address(<<Common:2/binary, Port:16, Flow:32, IP:16/binary, Scope:32/native>>) ->
    case Common =:= sockaddr_common(inet6, 28) of
        true ->
            Address = list_to_tuple([Word || <<Word:16>> <= IP]),
            #{family => inet6, port => Port, flowinfo => Flow, scope_id => Scope, addr => Address};
        false ->
            none
    end;
internet_address(_Sockaddr) ->
    none.
