%% A hostile caller of a setuid opener. It does not use a module of procket: hostile_SUITE_data/hostile.py.
-module(hostile_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        closed_stdio, inherited_descriptors, environment, forged_sudo, unreadable_directory, socket_of_another, socket_race,
        device_race, random_frames, huge_terms, other_commands, direct, stopped_reader, caller_ends, little_room, not_to_be_looked_into,
        policy_saved, prefixes, secret_of_another_length, one_meaning, other_file_system,
        on_interface_holds, interface_by_index, on_bridge, on_macvlan, on_vlan, on_bond, on_vrf,
        fault_connects, fault_sends, fault_opens, kernel_refuses, kernel_differs, kernel_keeps_a_right, kernel_without_landlock, kernel_without_close_range,
        nobody_reads_what_is_printed, no_descriptor_for_the_log, worker_memory, capture_memory
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    case procket_machine:need(Config) of
        {skip, _} = Skip -> Skip;
        _ -> procket_test:need("python3", Config)
    end.

end_per_suite(_Config) ->
    ok.

%% Where a debugger stands in the place of a fault, it knows the registers of one architecture.
init_per_testcase(Case, Config) when Case =:= fault_connects; Case =:= fault_sends; Case =:= fault_opens; Case =:= kernel_without_landlock ->
    case erlang:system_info(system_architecture) of
        "x86_64" ++ _ -> landlock(Case, Config);
        Other -> {skip, "the debugger of hostile.py does not know " ++ Other}
    end;
init_per_testcase(Case, Config) ->
    case atom_to_list(Case) of
        "kernel_" ++ _ -> procket_test:need("strace", Config);
        _ -> Config
    end.

end_per_testcase(_, _Config) ->
    ok.

landlock(fault_opens, Config) ->
    case procket_test:sh("python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 1)'") of
        {0, _} -> Config;
        _ -> {skip, "this kernel has no Landlock"}
    end;
landlock(_, Config) ->
    Config.

closed_stdio(Config) -> holds(?FUNCTION_NAME, Config).
inherited_descriptors(Config) -> holds(?FUNCTION_NAME, Config).
environment(Config) -> holds(?FUNCTION_NAME, Config).
forged_sudo(Config) -> holds(?FUNCTION_NAME, Config).
unreadable_directory(Config) -> holds(?FUNCTION_NAME, Config).
socket_of_another(Config) -> holds(?FUNCTION_NAME, Config).
socket_race(Config) -> holds(?FUNCTION_NAME, Config).
device_race(Config) -> holds(?FUNCTION_NAME, Config).
random_frames(Config) -> holds(?FUNCTION_NAME, Config).
huge_terms(Config) -> holds(?FUNCTION_NAME, Config).
other_commands(Config) -> holds(?FUNCTION_NAME, Config).
direct(Config) -> holds(?FUNCTION_NAME, Config).
stopped_reader(Config) -> holds(?FUNCTION_NAME, Config).
caller_ends(Config) -> holds(?FUNCTION_NAME, Config).
little_room(Config) -> holds(?FUNCTION_NAME, Config).
not_to_be_looked_into(Config) -> holds(?FUNCTION_NAME, Config).
policy_saved(Config) -> holds(?FUNCTION_NAME, Config).
one_meaning(Config) -> holds(?FUNCTION_NAME, Config).
on_interface_holds(Config) -> holds(?FUNCTION_NAME, Config).
interface_by_index(Config) -> holds(?FUNCTION_NAME, Config).
on_bridge(Config) -> holds("interfaces.py", ?FUNCTION_NAME, Config).
on_macvlan(Config) -> holds("interfaces.py", ?FUNCTION_NAME, Config).
on_vlan(Config) -> holds("interfaces.py", ?FUNCTION_NAME, Config).
on_bond(Config) -> holds("interfaces.py", ?FUNCTION_NAME, Config).
on_vrf(Config) -> holds("interfaces.py", ?FUNCTION_NAME, Config).
kernel_refuses(Config) -> holds("kernel.py", ?FUNCTION_NAME, Config).
kernel_differs(Config) -> holds("kernel.py", ?FUNCTION_NAME, Config).
kernel_keeps_a_right(Config) -> holds("kernel.py", ?FUNCTION_NAME, Config).
kernel_without_close_range(Config) -> holds("kernel.py", ?FUNCTION_NAME, Config).
nobody_reads_what_is_printed(Config) -> holds(?FUNCTION_NAME, Config).
no_descriptor_for_the_log(Config) -> holds(?FUNCTION_NAME, Config).
other_file_system(Config) -> holds(?FUNCTION_NAME, Config).
capture_memory(Config) -> holds(?FUNCTION_NAME, Config).
worker_memory(Config) -> holds(?FUNCTION_NAME, Config).
prefixes(Config) -> holds(?FUNCTION_NAME, Config).
secret_of_another_length(Config) -> holds(?FUNCTION_NAME, Config).

fault_connects(Config) -> holds(?FUNCTION_NAME, Config).
fault_sends(Config) -> holds(?FUNCTION_NAME, Config).
fault_opens(Config) -> holds(?FUNCTION_NAME, Config).
kernel_without_landlock(Config) -> holds(?FUNCTION_NAME, Config).

holds(Scenario, Config) ->
    holds("hostile.py", Scenario, Config).

holds(File, Scenario, Config) ->
    Script = filename:join(proplists:get_value(data_dir, Config), File),
    procket_machine:with(fun(#{user := User, dir := Dir} = Machine) ->
        procket_machine:policy(Machine, ["allow ", User, " udp 53\nallow ", User, " device race/*\n"]),
        _ = procket_test:sh_ok(["mknod -m 600 ", Dir, "/dev/private c 1 5"]),
        Opener = procket_machine:setuid(Machine),
        {Status, Output} = procket_machine:run(Machine, ["python3", "-B", Script, atom_to_list(Scenario), Opener, User, Dir]),
        case {Status, lists:last(["" | string:lexemes(Output, "\n")])} of
            {0, "skipped: " ++ Reason} -> {skip, Reason};
            Ended -> ?assertEqual({0, "held"}, Ended, Output)
        end
    end).
