%% @private
%% What differs between the platforms and is known without asking the port program.
-module(procket_platform).

-export([family/1, sockaddr_common/2, unix_path_max/0]).

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

-spec sockaddr_common(Family :: 0..16#ffff, Length :: 0..255) -> <<_:16>>.
sockaddr_common(Family, Length) when
    is_integer(Family), Family >= 0, Family =< 16#ffff, is_integer(Length), Length >= 0, Length =< 255
->
    case os:type() of
        {unix, linux} -> <<Family:16/native>>;
        {unix, _} -> <<Length:8, Family:8>>
    end.

-spec unix_path_max() -> 104 | 108.
unix_path_max() ->
    case os:type() of
        {unix, linux} -> 108;
        {unix, _} -> 104
    end.
