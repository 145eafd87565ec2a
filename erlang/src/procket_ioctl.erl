%% @doc Request numbers for {@link procket:ioctl/3}, as the macros `_IO', `_IOR', `_IOW' and `_IOWR' of `sys/ioctl.h' make them.
%%
%% ```
%% 16#400454ca = procket_ioctl:iow($T, 202, 4).   %% TUNSETIFF, on Linux
%% '''
-module(procket_ioctl).

-export([in/0, in/1, out/0, out/1, void/0, void/1]).
-export([io/2, ior/3, iow/3, iowr/3, ioc/4, ioc/5]).

-export_type([platform/0, group/0]).

-type platform() :: linux | bsd.
-type group() :: byte().
%% A letter that names the kind of device: `$T'.

%% @doc The bits that say that the kernel reads the argument.
-spec in() -> 16#40000000 | 16#80000000.
in() -> in(platform()).

%% @doc The same on another platform.
-spec in(platform()) -> 16#40000000 | 16#80000000.
in(linux) -> 16#40000000;
in(bsd) -> 16#80000000.

%% @doc The bits that say that the kernel writes the argument.
-spec out() -> 16#40000000 | 16#80000000.
out() -> out(platform()).

%% @doc The same on another platform.
-spec out(platform()) -> 16#40000000 | 16#80000000.
out(linux) -> 16#80000000;
out(bsd) -> 16#40000000.

%% @doc The bits that say that there is no argument.
-spec void() -> 0 | 16#20000000.
void() -> void(platform()).

%% @doc The same on another platform.
-spec void(platform()) -> 0 | 16#20000000.
void(linux) -> 0;
void(bsd) -> 16#20000000.

%% @doc A request without an argument.
-spec io(group(), Number :: byte()) -> non_neg_integer().
io(Group, Number) -> ioc(void(), Group, Number, 0).

%% @doc A request with an argument of `Size' bytes that the kernel writes.
-spec ior(group(), Number :: byte(), Size :: non_neg_integer()) -> non_neg_integer().
ior(Group, Number, Size) -> ioc(out(), Group, Number, Size).

%% @doc A request with an argument of `Size' bytes that the kernel reads.
%%
%% ```
%% 16#400454ca = procket_ioctl:iow($T, 202, 4).  %% TUNSETIFF of linux/if_tun.h
%% '''
-spec iow(group(), Number :: byte(), Size :: non_neg_integer()) -> non_neg_integer().
iow(Group, Number, Size) -> ioc(in(), Group, Number, Size).

%% @doc A request with an argument of `Size' bytes that the kernel reads and writes.
-spec iowr(group(), Number :: byte(), Size :: non_neg_integer()) -> non_neg_integer().
iowr(Group, Number, Size) -> ioc(in() bor out(), Group, Number, Size).

%% @doc A request with these bits of direction.
-spec ioc(Direction :: non_neg_integer(), group(), Number :: byte(), Size :: non_neg_integer()) -> non_neg_integer().
ioc(Direction, Group, Number, Size) -> ioc(platform(), Direction, Group, Number, Size).

%% @doc The same for another platform.
%%
%% ```
%% 16#80044277 = procket_ioctl:ioc(bsd, procket_ioctl:in(bsd), $B, 119, 4).   %% BIOCSSEESENT
%% '''
-spec ioc(platform(), Direction :: non_neg_integer(), group(), Number :: byte(), Size :: non_neg_integer()) -> non_neg_integer().
ioc(Platform, Direction, Group, Number, Size) ->
    Mask = size_mask(Platform),
    ok = check(direction, Direction, 16#ffffffff),
    ok = check(group, Group, 255),
    ok = check(number, Number, 255),
    %% The other bits of a longer size are not part of a request.
    ok = check(size, Size, 16#ffffffff),
    Direction bor ((Size band Mask) bsl 16) bor (Group bsl 8) bor Number.

check(_Name, Value, Most) when is_integer(Value), Value >= 0, Value =< Most -> ok;
check(Name, Value, _Most) -> procket_error:badarg({Name, Value}).

size_mask(linux) -> 16#3fff;
size_mask(bsd) -> 16#1fff;
size_mask(Platform) -> procket_error:badarg({platform, Platform}).

platform() ->
    case os:type() of
        {unix, linux} -> linux;
        {unix, _} -> bsd
    end.
