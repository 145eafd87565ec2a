%% alloc, buf and memcpy: memory of the worker.
-module(memory_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [structure, contents, without_pointers, ioctl_writes_through_a_pointer, setsockopt_reads_through_a_pointer,
     freed_with_its_process, freed_by_a_call, filters_are_freed, bounded, too_long, unknown_resource, gone_with_the_worker,
     freed_before_it_is_allocated, bad_items, many_resources, stopped_worker, server_killed].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

end_per_testcase(_, _Config) ->
    application:unset_env(procket, timeout).

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

%% A caller gives up, and its memory is freed before the worker comes to the request.
freed_before_it_is_allocated(_Config) ->
    Handle = erlang:unique_integer([positive, monotonic]),
    ok = procket_calls:worker(free, [[Handle]]),
    ?assertEqual({error, enomem}, procket_calls:worker(alloc, [[{ptr, 4}], [Handle]])),
    ?assertEqual({error, enomem}, procket_calls:worker(buf, [Handle])).

freed_by_a_call(_Config) ->
    in_a_process(fun() ->
        {ok, _, [A]} = procket:alloc([{ptr, 40_000_000}]),
        ?assertEqual({error, enomem}, procket:alloc([{ptr, 40_000_000}])),
        Self = self(),
        %% Any process that has the resource may free it.
        _ = spawn_link(fun() -> Self ! {freed, procket:free(A)} end),
        receive {freed, Freed} -> ?assertEqual(ok, Freed) end,
        ?assertEqual({error, enomem}, procket:buf(A)),
        ?assertEqual({error, enomem}, procket:free(A)),
        {ok, _, [B]} = procket:alloc([{ptr, 40_000_000}]),
        ok = procket:free(B),
        ?assertEqual({monitors, []}, process_info(whereis(procket_memory), monitors))
    end).

%% More in all than there may be at once, in one process.
filters_are_freed(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    Program = lists:duplicate(4000, bpf:stmt(6, 16#ffffffff)),
    [?assertMatch({N, {ok, _}}, {N, filter_result(packet:filter(FD, Program))}) || N <- lists:seq(1, 2200)],
    ok = procket:close(FD).

filter_result(ok) -> {ok, <<>>};
filter_result(Result) -> Result.

%% Every caller has its answer when its own time is up, and nothing that was asked for is left when the worker goes on.
stopped_worker(_Config) ->
    {ok, _, [Before]} = procket:alloc([{ptr, 4}]),
    application:set_env(procket, timeout, 1000),
    Worker = procket_test:os_pid(worker),
    procket_test:with_stopped([Worker], fun() ->
        Self = self(),
        Callers = [spawn_link(fun() -> Self ! {self(), procket:alloc([{ptr, 16_000_000}])}, receive stop -> ok end end) || _ <- lists:seq(1, 8)],
        %% One after the other takes eight times as long.
        [receive {Pid, Answer} -> ?assertEqual({error, etimedout}, Answer) after 30_000 -> error(no_answer) end || Pid <- Callers],
        [Pid ! stop || Pid <- Callers]
    end),
    application:unset_env(procket, timeout),
    procket_test:wait_until(fun() ->
        case procket:alloc([{ptr, 60_000_000}]) of
            {ok, _, [R]} -> procket:free(R) =:= ok;
            Error -> Error
        end
    end),
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    ?assertEqual({ok, <<0:32>>}, procket:buf(Before)).

%% Memory outlives the server that notes it, and is freed with its owner all the same.
server_killed(_Config) ->
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        {ok, _, [R]} = procket:alloc([{ptr, <<"kept">>}]),
        Self ! {self(), R},
        receive stop -> ok end
    end),
    Resource = receive {Owner, R} -> R end,
    Server = whereis(procket_memory),
    exit(Server, kill),
    procket_test:wait_until(fun() -> is_pid(whereis(procket_memory)) andalso whereis(procket_memory) =/= Server end),
    ?assertEqual({ok, <<"kept">>}, procket:buf(Resource)),
    Owner ! stop,
    receive {'DOWN', Monitor, _, _, normal} -> ok end,
    procket_test:wait_until(fun() -> procket:buf(Resource) =:= {error, enomem} end).

gone_with_the_worker(_Config) ->
    {ok, _, [A]} = procket:alloc([{ptr, 4}]),
    _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
    procket_test:wait_until(fun() -> procket:buf(A) =:= {error, enomem} end),
    %% The new worker's memory is another's, and so is the number it is known by.
    {ok, _, [B]} = procket:alloc([{ptr, 4}]),
    ?assertEqual({ok, <<0:32>>}, procket:buf(B)),
    ?assertEqual({error, enomem}, procket:buf(A)).

%% The servers of the application never see them.
bad_items(_Config) ->
    {ok, _, []} = procket:alloc([]),
    {ok, _} = application:ensure_all_started(procket),
    Servers = [whereis(Name) || Name <- [procket_memory, procket_select, gen_raw_sup, procket_registry]],
    Bad = [a, 1, {ptr, -1}, {ptr, a}, {ptr, 1, 2}, "list", {ptr, 1 bsl 63}, {ptr, 1 bsl 64}, {ptr, 1 bsl 1000}, {ptr, 1.0}, <<1:1>>],
    [?assertError(badarg, procket:alloc(Items), Items) || Item <- Bad, Items <- [[Item], [{ptr, 1}, Item]]],
    [?assertError(badarg, procket:alloc(Items), Items) || Items <- [[<<>> | <<>>], [{ptr, 1} | {ptr, 1}], <<>>, {ptr, 1}, nil]],
    ?assertEqual(Servers, [whereis(Name) || Name <- [procket_memory, procket_select, gen_raw_sup, procket_registry]]),
    ?assertEqual({error, enomem}, procket:alloc([{ptr, 1 bsl 63 - 1}])).

many_resources(_Config) ->
    in_a_process(fun() ->
        {ok, _, Resources} = procket:alloc([{ptr, <<N:32>>} || N <- lists:seq(1, 5000)]),
        [?assertEqual({ok, <<N:32>>}, procket:buf(R)) || {N, R} <- lists:enumerate(Resources), N rem 100 =:= 0]
    end).

in_a_process(Fun) ->
    {_, Monitor} = spawn_monitor(Fun),
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end.
