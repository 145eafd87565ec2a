%% @doc Sniffs inside a network namespace, from a BEAM outside of it.
%%
%% ```
%% 1> c("erlang/examples/sniff.erl", [{i, "erlang/include"}]), c("erlang/examples/namespace.erl").
%% 2> os:cmd("ip netns add blue").
%% 3> spawn(fun() -> namespace:sniff("/run/netns/blue", "lo", 10, fun(Frame) -> io:format("~p~n", [Frame]) end) end).
%% '''
-module(namespace).

-export([sniff/4]).

%% @doc As {@link sniff:start/3}. Only the opening happens in the namespace; the descriptor works from anywhere.
-spec sniff(file:filename(), string(), pos_integer(), fun((binary()) -> term())) -> ok | {error, procket:posix()}.
sniff(Namespace, Interface, Count, Fun) ->
    sniff:start(Interface, Count, Fun, [{namespace, Namespace}]).
