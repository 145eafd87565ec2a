%% @doc Captures packets of an interface into a file that tcpdump and Wireshark read.
%%
%% ```
%% 1> c("erlang/examples/capture.erl").
%% 2> capture:start("lo", "dns.pcapng", [{seconds, 1}, {filter, "udp port 53"}]).
%% {ok,#{dropped => 0,packets => 0}}
%% '''
-module(capture).

-export([start/3]).

-type option() :: {seconds, pos_integer()} | {packets, pos_integer()} | {progress, boolean()} | gen_raw:option().

%% Milliseconds between two lines of progress.
-define(INTERVAL, 1000).

%% @doc Writes what comes to a file: for so many `seconds' or so many `packets', what is over first, else until the interface is gone. With
%% `{progress, true}' a line on the terminal says every second how it stands. Other options are those of {@link gen_raw:open/2}.
-spec start(gen_raw:source(), file:name_all(), [option()]) ->
    {ok, #{packets := non_neg_integer(), dropped := non_neg_integer()}} | {error, term()}.
start(Source, Name, Options) ->
    {Own, Others} = proplists:split(Options, [seconds, packets, progress]),
    [Seconds, Count, Progress] = [proplists:get_value(Key, lists:append(Own)) || Key <- [seconds, packets, progress]],
    case gen_raw:open(Source, [{timestamps, true} | Others]) of
        {ok, Socket} ->
            try
                {ok, Info} = gen_raw:info(Socket),
                LinkTypes = [{link_type, Type} || #{link_type := Type} <- [Info], is_integer(Type)],
                case procket_pcap:open_write(Name, LinkTypes) of
                    {ok, File} ->
                        Result = run(Socket, File, limits(Seconds, Count), Progress =:= true),
                        closed(procket_pcap:close(File), Result);
                    {error, _} = Error ->
                        Error
                end
            after
                gen_raw:close(Socket)
            end;
        {error, _} = Error ->
            Error
    end.

limits(Seconds, Count) ->
    Now = erlang:monotonic_time(millisecond),
    End = case Seconds of undefined -> infinity; _ -> Now + 1000 * Seconds end,
    {End, case Count of undefined -> infinity; _ -> Count end}.

closed(ok, Result) -> Result;
closed({error, _} = Error, _Result) -> Error.

run(Socket, File, {End, Left}, Progress) ->
    Now = erlang:monotonic_time(millisecond),
    loop(Socket, File, #{'end' => End, left => Left, count => 0, progress => Progress, start => Now, shown => {Now, 0}}).

loop(Socket, _File, #{left := 0} = State) ->
    ended(Socket, State);
loop(Socket, File, #{'end' := End, shown := {At, _}} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Now >= End of
        true ->
            ended(Socket, State);
        false ->
            case gen_raw:recv(Socket, wait(Now, End, At + ?INTERVAL)) of
                {ok, Packets} -> write(Socket, File, Packets, shown(Socket, State));
                {error, timeout} -> loop(Socket, File, shown(Socket, State));
                %% It may come up again.
                {error, enetdown} -> loop(Socket, File, State);
                {error, Reason} when Reason =:= enodev; Reason =:= closed -> ended(Socket, State);
                {error, _} = Error -> Error
            end
    end.

wait(Now, End, Next) ->
    max(0, min(End, Next) - Now).

write(Socket, File, Packets, #{left := Left, count := Count} = State) ->
    Kept = case is_integer(Left) andalso length(Packets) > Left of true -> lists:sublist(Packets, Left); false -> Packets end,
    Number = length(Kept),
    case procket_pcap:write(File, Kept) of
        ok -> loop(Socket, File, State#{count := Count + Number, left := case Left of infinity -> Left; _ -> Left - Number end});
        {error, _} = Error -> Error
    end.

ended(Socket, #{count := Count, progress := Progress}) ->
    _ = [io:nl() || Progress],
    {ok, #{packets => Count, dropped => dropped(Socket)}}.

dropped(Socket) ->
    case gen_raw:stats(Socket) of
        {ok, #{kernel_dropped := Dropped}} -> Dropped;
        {error, _} -> 0
    end.

%% A line that takes the place of the one before.
shown(Socket, #{progress := true, start := Start, shown := {At, Before}, count := Count} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Now - At >= ?INTERVAL of
        true ->
            Lost = case dropped(Socket) of 0 -> "none"; Dropped -> integer_to_list(Dropped) end,
            io:format("\r~b s  ~b packets, ~b/s, ~s dropped   ", [(Now - Start) div 1000, Count, (Count - Before) * 1000 div (Now - At), Lost]),
            State#{shown := {Now, Count}};
        false ->
            State
    end;
shown(_Socket, #{shown := {At, Before}} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Now - At >= ?INTERVAL of
        true -> State#{shown := {Now, Before}};
        false -> State
    end.
