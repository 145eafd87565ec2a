%% @private
%% What differs between the platforms and is known without asking the port program.
-module(procket_platform).

-export([family/1, sockaddr_common/2, unix_path_max/0, socket_type/1, has_relative_path/1, internet_address/1]).

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
    case procket_call:ask(family, [Name]) of
        {ok, Number} -> Number;
        {error, _} -> procket_error:badarg({family, Name})
    end.

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

%% A native address of inet or inet6 as OTP's `socket' has it.
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
