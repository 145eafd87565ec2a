%% alloc, buf and memcpy: memory of the worker.
-module(memory_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [structure, contents, without_pointers, ioctl_writes_through_a_pointer, setsockopt_reads_through_a_pointer,
     freed_with_its_process, bounded, too_long, unknown_resource, gone_with_the_worker, numbers_of_a_later_worker, bad_items, many_resources].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

structure(_Config) ->
    Word = erlang:system_info({wordsize, external}),
    {ok, Struct, [A, B]} = procket:alloc([<<1:32>>, {ptr, 10}, <<2:32>>, {ptr, <<"abc">>}]),
    ?assertEqual(8 + 2 * Word, byte_size(Struct)),
    <<1:32, PointerA:(Word * 8)/native, 2:32, PointerB:(Word * 8)/native>> = Struct,
    ?assert(PointerA =/= 0 andalso PointerB =/= 0 andalso PointerA =/= PointerB),
    ?assertEqual({ok, <<0:80>>}, procket:buf(A)),
    ?assertEqual({ok, <<"abc">>}, procket:buf(B)).

contents(_Config) ->
    {ok, _, [A]} = procket:alloc([{ptr, 4}]),
    ok = procket:memcpy(A, <<1, 2>>),
    ?assertEqual({ok, <<1, 2, 0, 0>>}, procket:buf(A)),
    ok = procket:memcpy(A, <<9, 8, 7, 6>>),
    ?assertEqual({ok, <<9, 8, 7, 6>>}, procket:buf(A)),
    {ok, _, [Large]} = procket:alloc([{ptr, 1_000_000}]),
    Data = rand:bytes(1_000_000),
    ok = procket:memcpy(Large, Data),
    ?assert(procket:buf(Large) =:= {ok, Data}).

without_pointers(_Config) ->
    ?assertEqual({ok, <<1, 2, 3>>, []}, procket:alloc([<<1>>, <<2, 3>>])),
    ?assertEqual({ok, <<>>, []}, procket:alloc([])).

%% SIOCGIFCONF: the kernel fills what struct ifconf points to.
ioctl_writes_through_a_pointer(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, 0),
    Size = 40 * 64,
    {ok, Ifconf, [List]} = procket:alloc([<<Size:32/native, 0:32>>, {ptr, Size}]),
    {ok, <<Length:32/native, _/binary>>} = procket:ioctl(FD, 16#8912, Ifconf),
    {ok, <<Interfaces:Length/binary, _/binary>>} = procket:buf(List),
    Names = [hd(binary:split(Name, <<0>>)) || <<Name:16/binary, _:24/binary>> <= Interfaces],
    ?assert(lists:member(<<"lo">>, Names)),
    ok = procket:close(FD).

%% A filter that lets nothing through, and its end.
setsockopt_reads_through_a_pointer(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    {ok, _} = packet:filter(FD, [bpf:stmt(6, 0)]),
    ok = procket:sendto(FD, <<"dropped">>, 0, Name),
    ?assertEqual({error, eagain}, procket:recv(FD, 100)),
    ok = packet:unfilter(FD),
    ok = procket:sendto(FD, <<"kept">>, 0, Name),
    ?assertEqual({ok, <<"kept">>}, procket:recv(FD, 100)),
    ok = procket:close(FD).

freed_with_its_process(_Config) ->
    Self = self(),
    %% More in all than there may be at once.
    [
        begin
            {Pid, Monitor} = spawn_monitor(fun() -> Self ! {self(), procket:alloc([{ptr, 30_000_000}])} end),
            Resource = receive {Pid, {ok, _, [R]}} -> R end,
            receive {'DOWN', Monitor, _, _, normal} -> ok end,
            procket_test:wait_until(fun() -> procket:buf(Resource) =:= {error, enomem} end)
        end
     || _ <- lists:seq(1, 10)
    ].

bounded(_Config) ->
    in_a_process(fun() ->
        ?assertEqual({error, enomem}, procket:alloc([{ptr, 64 * 1024 * 1024 + 1}])),
        ?assertEqual({error, enomem}, procket:alloc([{ptr, 1 bsl 62}])),
        %% What was allocated for a request that fails is free again.
        ?assertEqual({error, enomem}, procket:alloc([{ptr, 60 * 1024 * 1024}, {ptr, 60 * 1024 * 1024}])),
        {ok, _, [_]} = procket:alloc([{ptr, 60 * 1024 * 1024}])
    end).

too_long(_Config) ->
    {ok, _, [A, Empty]} = procket:alloc([{ptr, 4}, {ptr, 0}]),
    ?assertError(badarg, procket:memcpy(A, <<1, 2, 3, 4, 5>>)),
    ?assertError(badarg, procket:memcpy(Empty, <<1>>)),
    ok = procket:memcpy(Empty, <<>>),
    ?assertEqual({ok, <<0:32>>}, procket:buf(A)).

unknown_resource(_Config) ->
    ?assertEqual({error, enomem}, procket:buf(make_ref())),
    ?assertEqual({error, enomem}, procket:memcpy(make_ref(), <<>>)).

%% A request that was made for a worker which has ended meanwhile goes to the next one: it may not find another's memory there.
numbers_of_a_later_worker(_Config) ->
    {ok, _, Old} = procket_call:worker(alloc, [[{ptr, 4} || _ <- lists:seq(1, 1000)]]),
    Worker = procket_test:os_pid(worker),
    _ = procket_test:sh_ok("kill -9 " ++ Worker),
    procket_test:wait_until(fun() -> procket:errno_id(13) =:= eacces andalso procket_test:os_pid(worker) =/= Worker end),
    {ok, _, [New]} = procket_call:worker(alloc, [[{ptr, 4}]]),
    ?assert(New > lists:max(Old)).

gone_with_the_worker(_Config) ->
    {ok, _, [A]} = procket:alloc([{ptr, 4}]),
    _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
    procket_test:wait_until(fun() -> procket:buf(A) =:= {error, enomem} end),
    %% The new worker's memory is another's, and so is the number it is known by.
    {ok, _, [B]} = procket:alloc([{ptr, 4}]),
    ?assertEqual({ok, <<0:32>>}, procket:buf(B)),
    ?assertEqual({error, enomem}, procket:buf(A)).

bad_items(_Config) ->
    [?assertError(badarg, procket:alloc([Item]), Item) || Item <- [a, 1, {ptr, -1}, {ptr, a}, {ptr, 1, 2}, "list"]].

many_resources(_Config) ->
    in_a_process(fun() ->
        {ok, _, Resources} = procket:alloc([{ptr, <<N:32>>} || N <- lists:seq(1, 5000)]),
        [?assertEqual({ok, <<N:32>>}, procket:buf(R)) || {N, R} <- lists:enumerate(Resources), N rem 100 =:= 0]
    end).

in_a_process(Fun) ->
    {_, Monitor} = spawn_monitor(Fun),
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end.
