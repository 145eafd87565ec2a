%% @doc Sends numbered frames at a given rate. Only into networks that are yours: a veth pair, a TAP device, a test bench.
%%
%% ```
%% 1> c("erlang/examples/flood.erl").
%% 2> flood:start("lo", [{rate, 10000}, {seconds, 1}]).
%% {ok,#{seconds => 1.000102,sent => 10000}}
%% '''
-module(flood).

-export([start/2, frame/2]).

-type option() :: {rate, pos_integer()} | {seconds, pos_integer()} | {count, pos_integer()} | {size, 18..65535} | gen_raw:option().

%% An EtherType for experiments: IEEE 802.
-define(EXPERIMENTAL, 16#88b5).
%% Milliseconds between two batches.
-define(TICK, 10).

%% @doc Sends `rate' frames a second (default 1000) of `size' bytes (default 64), `count' in all (default what `seconds' make, default 1 second).
%% Other options are those of {@link gen_raw:open/2}. What is refused ends it: `{error, {Reason, Sent}}'.
-spec start(string(), [option()]) -> {ok, #{sent := non_neg_integer(), seconds := float()}} | {error, term()}.
start(Interface, Options) ->
    {Own, Others} = proplists:split(Options, [rate, seconds, count, size]),
    Get = fun(Key, Default) -> proplists:get_value(Key, lists:append(Own), Default) end,
    Rate = Get(rate, 1000),
    Count = Get(count, Rate * Get(seconds, 1)),
    %% It receives nothing, so it needs no buffer.
    case gen_raw:open(Interface, [{protocol, 0}, {buffer, 1} | Others]) of
        {ok, Socket} ->
            try
                send(Socket, Get(size, 64), Rate, Count, 0, erlang:monotonic_time(microsecond))
            after
                gen_raw:close(Socket)
            end;
        {error, _} = Error ->
            Error
    end.

send(_Socket, _Size, _Rate, Count, Count, Start) ->
    {ok, #{sent => Count, seconds => (erlang:monotonic_time(microsecond) - Start) / 1.0e6}};
send(Socket, Size, Rate, Count, Sent, Start) ->
    %% What is due by the end of this tick.
    Due = (erlang:monotonic_time(microsecond) - Start + 1000 * ?TICK) * Rate div 1_000_000,
    Number = max(0, min(Count, Due) - Sent),
    case gen_raw:send(Socket, [frame(N, Size) || N <- lists:seq(Sent + 1, Sent + Number)]) of
        ok ->
            timer:sleep(?TICK),
            send(Socket, Size, Rate, Count, Sent + Number, Start);
        {error, {Reason, More}} ->
            {error, {Reason, Sent + More}}
    end.

%% @doc A frame from nobody to nobody, with a number behind its header.
-spec frame(non_neg_integer(), Size :: pos_integer()) -> binary().
frame(Number, Size) ->
    <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ?EXPERIMENTAL:16, Number:32, 0:((Size - 18) * 8)>>.
