%% Every way to have rights, used by a real unprivileged user, and what is left of the rights once an opener or a worker has started.
-module(privilege_SUITE).
-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        refused_without_rights, setuid_opener, setuid_opener_of_another_group, sudo_opener, sudo_without_a_rule,
        capable_opener, capability_for_devices, capable_beam, privileged_beam, root_beam_under_sudo, beam_with_ambient_capabilities,
        setgid_gives_nothing, groups_and_signals, setuid_process, sudo_process, capable_process, root_process, worker_of_a_setuid_file,
        worker_of_a_capable_file, worker_of_an_ordinary_file, rights_that_no_line_needs, policy_that_needs_more, capture, capture_of_a_beam_with_ambient_capabilities, compiler_with_ambient_capabilities, libraries, hostile_libraries, demo
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_machine:need(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) when Case =:= sudo_opener; Case =:= sudo_without_a_rule; Case =:= sudo_process ->
    procket_test:need("sudo", Config);
init_per_testcase(hostile_libraries, Config) ->
    procket_machine:need(Config, ["sudo", "cc"]);
init_per_testcase(Case, Config) when
    Case =:= capable_opener; Case =:= capability_for_devices; Case =:= capable_beam; Case =:= capable_process; Case =:= groups_and_signals; Case =:= worker_of_a_capable_file
->
    procket_test:need("setcap", Config);
init_per_testcase(_, Config) ->
    Config.

refused_without_rights(_Config) ->
    procket_machine:with(fun(Machine) ->
        Open = open(Machine, "{exec, [\"\"]}"),
        ?assertEqual("{error,eacces}", Open("open(53, [{protocol, udp}")),
        ?assertEqual("{error,eperm}", Open("open(0, [{protocol, icmp}")),
        ?assertMatch("{ok," ++ _, Open("open(0, [{protocol, udp}"))
    end).

setuid_opener(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_test:with_netns(fun(Name) ->
            Open = open(Machine, ["{exec, [\"\"]}, {progname, \"", procket_machine:setuid(Machine), "\"}"]),
            opens_everything(Open, Name),
            %% A namespace that the user may not read, and what is none.
            ?assertEqual("{error,eacces}", Open("open(53, [{protocol, udp}, {namespace, \"/proc/1/ns/net\"}")),
            ?assertEqual("{error,einval}", Open("open(53, [{protocol, udp}, {namespace, \"/etc/passwd\"}")),
            ?assertEqual("{error,eacces}", Open("open(53, [{protocol, udp}, {namespace, \"/etc/shadow\"}"))
        end)
    end).

setuid_opener_of_another_group(_Config) ->
    procket_machine:with(fun(Machine) ->
        Open = open(Machine, ["{exec, [\"\"]}, {progname, \"", procket_machine:setuid(Machine, "root"), "\"}"]),
        ?assertEqual("{error,eacces}", Open("open(53, [{protocol, udp}"))
    end).

sudo_opener(_Config) ->
    procket_machine:with(fun(#{user := User, lib := Lib} = Machine) ->
        procket_machine:sudoers(Machine, [User, " ALL = (root) NOPASSWD: ", Lib, "/priv/procket opener\n"]),
        procket_test:with_netns(fun(Name) ->
            opens_everything(open(Machine, "{exec, [\"sudo\"]}"), Name),
            %% The default: first without.
            ?assertMatch("{ok," ++ _, procket_machine:eval(Machine, "procket:open(53, [{protocol, udp}])"))
        end)
    end).

%% Refused, and nobody is asked for a password: the terminal is not even looked at.
sudo_without_a_rule(_Config) ->
    procket_machine:with(fun(Machine) ->
        ?assertEqual("{error,eacces}", procket_machine:eval(Machine, "procket:open(53, [{protocol, udp}])")),
        ?assertEqual("{error,eperm}", procket_machine:eval(Machine, "procket:open(53, [{protocol, udp}, {exec, [\"sudo\"]}])"))
    end).

%% No root at all, and so neither namespaces nor other people's devices.
capable_opener(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_test:with_netns(fun(Name) ->
            Opener = procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw+ep"),
            Open = open(Machine, ["{exec, [\"\"]}, {progname, \"", Opener, "\"}"]),
            opens_sockets(Open),
            ?assertEqual("{error,eperm}", Open(["open(53, [{protocol, udp}, {namespace, \"/run/netns/", Name, "\"}"])),
            private_device(Machine),
            ?assertEqual("{error,eacces}", Open("dev(\"private\", [{protocol, udp}"))
        end)
    end).

capability_for_devices(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_machine:policy(Machine, "allow * any\n"),
        private_device(Machine),
        Opener = procket_machine:capable(Machine, "cap_dac_override+p"),
        Open = open(Machine, ["{exec, [\"\"]}, {progname, \"", Opener, "\"}"]),
        ?assertMatch("{ok," ++ _, Open("dev(\"private\", [{protocol, udp}")),
        ?assertEqual("{error,eacces}", Open("open(53, [{protocol, udp}")),
        %% It also reads a policy that is not for everyone, where there is no other right to do so.
        #{dir := Dir} = Machine,
        procket_machine:policy(Machine, "allow * udp 0\n"),
        _ = procket_test:sh_ok(["chmod 600 ", Dir, "/etc/procket/policy.conf"]),
        ?assertEqual([dac_override], permitted_to_opener(Machine, Opener))
    end).

%% A copy of OTP's runtime whose beam.smp has capabilities. They do not pass to what it starts: the node makes and binds the sockets
%% itself, and what it has then is as any other.
capable_beam(_Config) ->
    procket_machine:with(fun(#{dir := Dir, lib := Lib, user := User} = Machine) ->
        {Root, Erts} = {Dir ++ "/erlang", "erts-" ++ erlang:system_info(version)},
        Bin = filename:join([Root, Erts, "bin"]),
        _ = procket_test:sh_ok([
            "mkdir ", Root, " && cd ", code:root_dir(), " && cp -a ", Erts, " ", Root, "/ && ln -s ", [[code:root_dir(), Name, " "] || Name <- ["/bin", "/lib", "/releases"]], Root,
            " && chmod -R a+rX ", Root, " && setcap cap_net_raw,cap_net_bind_service=ep ", Bin, "/beam.smp"
        ]),
        Node = fun(Program, Expression) ->
            Words = ["env", "-i", "PATH=" ++ os:getenv("PATH"), "HOME=" ++ Dir ++ "/home", "ROOTDIR=" ++ Root, "BINDIR=" ++ Bin, "EMU=beam", "PROGNAME=erl",
                "setpriv", "--reuid", User, "--regid", User, "--init-groups", Program, "-noshell", "-kernel", "logger_level", "error",
                "-pa", Lib ++ "/ebin", "-eval", lists:flatten(["io:format(\"~w\", [begin ", Expression, " end]), halt()."])],
            {0, Output} = procket_machine:run(Machine, Words),
            lists:last(string:lexemes(Output, "\n"))
        end,
        Ping = "{ok, FD} = procket:socket(inet, raw, icmp), {ok, Other} = procket:socket(inet, dgram, udp), "
            "Request = <<8, 0, (packet:makesum(<<8, 0, 0:16, 7:16, 1:16>>)):16, 7:16, 1:16>>, "
            "ok = procket:sendto(FD, Request, 0, <<2:16/native, 0:16, 127, 0, 0, 1, 0:64>>), ok = procket:select(FD, read), "
            "receive {procket, FD, ready, read} -> ok end, {ok, <<16#45, _/binary>>} = procket:recv(FD, 100), "
            "{ok, Flags} = file:read_file(\"/proc/self/fdinfo/\" ++ integer_to_list(FD)), {match, _} = re:run(Flags, \"flags:\\\\s+02004002\"), "
            "Open = element(2, file:list_dir(\"/proc/self/fd\")), ok = procket:close(FD), "
            "{length(Open) - length(element(2, file:list_dir(\"/proc/self/fd\"))), procket:bind(Other, <<2:16/native, 53:16, 127, 0, 0, 1, 0:64>>), "
            "begin {ok, Server} = gen_udp:open(0, [{fd, Other}, binary]), {ok, Client} = gen_udp:open(0), ok = gen_udp:send(Client, {127,0,0,1}, 53, <<\"low\">>), "
            "receive {udp, Server, _, _, Data} -> Data end end}",
        ?assertEqual("{1,ok,<<108,111,119>>}", Node(Bin ++ "/erlexec", Ping)),
        Packet = "{element(1, procket:socket(packet, raw, 16#0008)), element(1, procket:socket(inet6, 16#80003, icmp6)), "
            "procket:bind(element(2, procket:socket(inet6, stream, tcp)), <<10:16/native, 80:16, 0:32, 1:128, 0:32>>), "
            "procket:setns(\"/proc/self/ns/net\"), procket:bind(7777, <<2:16/native, 53:16, 0:96>>)}",
        ?assertEqual("{ok,ok,ok,{error,eperm},{error,ebadf}}", Node(Bin ++ "/erlexec", Packet)),
        %% Without the capabilities it is refused as ever.
        _ = procket_test:sh_ok(["setcap -r ", Bin, "/beam.smp"]),
        Refused = "{procket:socket(inet, raw, icmp), procket:bind(element(2, procket:socket(inet, dgram, udp)), <<2:16/native, 53:16, 0:96>>)}",
        ?assertEqual("{{error,eperm},{error,eacces}}", Node(Bin ++ "/erlexec", Refused))
    end).

privileged_beam(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_test:with_netns(fun(Name) ->
            Options = [{namespace, "/run/netns/" ++ Name}, {exec, [""]}],
            private_device(Machine),
            [
                begin
                    {ok, FD} = procket:open(Port, Chosen ++ Options),
                    ok = procket:close(FD)
                end
             || {Port, Chosen} <- [
                    {53, [{protocol, udp}]}, {80, []}, {0, [{protocol, icmp}]}, {0, [{family, packet}, {protocol, 8}]}
                ]
            ]
        end)
    end).

%% Who started a root BEAM with sudo is not the caller of its port programs.
root_beam_under_sudo(_Config) ->
    procket_machine:with(fun(#{uid := Uid} = Machine) ->
        As = ["env", "SUDO_UID=" ++ integer_to_list(Uid), "SUDO_GID=" ++ integer_to_list(Uid)],
        Expression = "{procket:open(53, [{protocol, udp}, {exec, [\"\"]}]), procket:socket(inet, raw, icmp)}",
        procket_machine:inspect(Machine#{as => As}, {Expression, fun(Output, _) ->
            ?assertMatch({match, _}, re:run(Output, "{{ok,[0-9]+},{ok,[0-9]+}} ready"), Output)
        end})
    end).

%% What a unit of systemd with AmbientCapabilities has: the BEAM's own rights, of which worker and opener have theirs.
beam_with_ambient_capabilities(_Config) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        As = ["setpriv", "--reuid", User, "--regid", User, "--init-groups", "--inh-caps", "+net_raw,+net_bind_service",
            "--ambient-caps", "+net_raw,+net_bind_service"],
        Expression = "{procket:open(53, [{protocol, udp}, {exec, [\"\"]}]), procket:socket(inet, raw, icmp)}",
        procket_machine:inspect(Machine#{as => As}, {Expression, fun(Output, Programs) ->
            ?assertMatch({match, _}, re:run(Output, "{{ok,[0-9]+},{ok,[0-9]+}} ready"), Output),
            Worker = status(proplists:get_value(worker, Programs)),
            ?assertEqual(binding_and_raw(), capabilities("CapEff", Worker)),
            Opener = status(proplists:get_value(opener, Programs)),
            ?assertEqual({0, binding_and_raw()}, {capabilities("CapEff", Opener), capabilities("CapPrm", Opener)})
        end})
    end).

%% Rights are capabilities: another group is no right.
setgid_gives_nothing(_Config) ->
    procket_machine:with(fun(#{user := User, dir := Dir} = Machine) ->
        Path = procket_machine:root_owned(Machine),
        _ = procket_test:sh_ok(["chmod 2755 ", Path, " && mknod -m 660 ", Dir, "/dev/grouped c 1 3"]),
        Open = open(Machine, ["{exec, [\"\"]}, {progname, \"", Path, "\"}"]),
        ?assertEqual("{error,eacces}", Open("dev(\"grouped\", [{protocol, udp}")),
        with_opener(Machine#{user => User}, Path, fun(Pid) ->
            #{"Gid" := Gid, "Groups" := Groups} = status(Pid),
            ?assertNotEqual("0", hd(Gid)),
            ?assertNot(lists:member("0", Groups))
        end)
    end).

%% Supplementary groups go where root's rights can drop them, and so does the bounding set. What the caller ignores or blocks counts
%% for neither.
groups_and_signals(_Config) ->
    procket_machine:with(fun(#{user := User, uid := Uid} = Machine) ->
        _ = procket_machine:run_ok(Machine, ["usermod", "-a", "-G", "daemon", User]),
        Own = integer_to_list(Uid),
        Signals = ["env", "--ignore-signal=INT", "--block-signal=USR1"],
        Status = fun(Program) -> with_opener(Machine, Signals, Program, fun(Pid) -> status(Pid) end) end,
        Setuid = Status(procket_machine:setuid(Machine)),
        ?assertEqual({[], 0}, {maps:get("Groups", Setuid) -- [Own], capabilities("CapBnd", Setuid)}),
        Capable = Status(procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw+ep")),
        ?assertEqual(["1"], maps:get("Groups", Capable) -- [Own]),
        %% SIGPIPE alone, but for 32 and 33: these are the C library's, and nobody can set them by sigaction(3).
        Mask = fun(Name, S) -> capabilities(Name, S) band bnot (3 bsl 31) end,
        [?assertEqual({0, 1 bsl 12}, {Mask("SigBlk", S), Mask("SigIgn", S)}) || S <- [Setuid, Capable]]
    end).

setuid_process(_Config) ->
    procket_machine:with(fun(Machine) ->
        Program = procket_machine:setuid(Machine),
        with_opener(Machine, Program, fun(Pid) -> is_reduced(Machine, Pid, all_opening()) end),
        %% And after it has opened something.
        Expression = ["procket:open(53, [{protocol, udp}, {exec, [\"\"]}, {progname, \"", Program, "\"}])"],
        procket_machine:with_log(Machine, fun(_Next) ->
            procket_machine:inspect(Machine, {Expression, fun(<<"{ok,", _/binary>>, Programs) ->
                Pid = proplists:get_value(opener, Programs),
                is_reduced(Machine, Pid, all_opening()),
                %% The log and the two connections: what it has opened is not kept.
                ["0", "1", "2" | Others] = descriptors(Pid),
                ?assertMatch([{_, "socket:" ++ _}, {_, "socket:" ++ _}, {_, "socket:" ++ _}], Others)
            end})
        end)
    end).

sudo_process(_Config) ->
    procket_machine:with(fun(#{user := User, lib := Lib} = Machine) ->
        procket_machine:sudoers(Machine, [User, " ALL = (root) NOPASSWD: ", Lib, "/priv/procket opener\n"]),
        procket_machine:inspect(Machine, {"procket:open(53, [{protocol, udp}, {exec, [\"sudo\"]}])", fun(Output, Programs) ->
            ?assertMatch(<<"{ok,", _/binary>>, Output),
            is_reduced(Machine, proplists:get_value(opener, Programs), all_opening())
        end})
    end).

capable_process(_Config) ->
    procket_machine:with(fun(Machine) ->
        Program = procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw,cap_sys_ptrace,cap_kill+ep"),
        with_opener(Machine, Program, fun(Pid) -> is_reduced(Machine, Pid, binding_and_raw()) end)
    end).

%% As root too, an opener has nothing in force.
root_process(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {exec, [""]}]),
    ok = procket:close(FD),
    Status = status(procket_test:os_pid(opener)),
    ?assertEqual(0, capabilities("CapEff", Status)),
    ?assertEqual(0, capabilities("CapPrm", Status) band bnot all_opening()),
    ?assertMatch(#{"NoNewPrivs" := ["1"], "Seccomp" := ["2"]}, Status),
    ok = application:stop(procket).

worker_of_a_setuid_file(_Config) ->
    procket_machine:with(fun(Machine) -> worker_has_nothing(Machine, procket_machine:setuid(Machine)) end).

worker_of_a_capable_file(_Config) ->
    procket_machine:with(fun(Machine) ->
        worker_has_nothing(Machine, procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw,cap_setuid+ep"))
    end).

%% The opener opens the sockets of gen_raw; the capture process has the rights of the BEAM's user.
capture(_Config) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        Opener = procket_machine:setuid(Machine),
        raw_test:with_veth(fun(Name) ->
            Options = ["[{progname, \"", Opener, "\"}, {exec, [\"\"]}, {namespace, \"/run/netns/", Name, "\"}]"],
            ?assertEqual("{error,eperm}", procket_machine:eval(Machine, "gen_raw:open(\"lo\", [{exec, [\"\"]}])")),
            Id = string:trim(procket_machine:run_ok(Machine, ["id", "-u", User])),
            ?assertEqual(
                lists:flatten(["{ok,[<<1,1,1,1,1,1,2,2,2,2,2,2,136,181,7>>],", Id, "}"]),
                procket_machine:eval(Machine, [
                    "begin {ok, Rx} = gen_raw:open(\"rx0\", [{filter, \"ether proto 0x88b5\"} | ", Options, "]),"
                    " {ok, Tx} = gen_raw:open(\"tx0\", ", Options, "),"
                    " ok = gen_raw:send(Tx, <<16#010101010101:48, 16#020202020202:48, 16#88b5:16, 7>>),"
                    " {ok, Packets} = gen_raw:recv(Rx, 5000),"
                    " Pids = [integer_to_list(Pid) || Port <- erlang:ports(), {os_pid, Pid} <- [erlang:port_info(Port, os_pid)], is_integer(Pid)],"
                    " Captures = [Pid || Pid <- Pids, {ok, Line} <- [file:read_file(\"/proc/\" ++ Pid ++ \"/cmdline\")],"
                    " string:find(Line, \"capture\") =/= nomatch],"
                    " [User] = lists:usort([hd(tl(string:lexemes(string:find(element(2, file:read_file(\"/proc/\" ++ Pid ++ \"/status\")),"
                    " \"Uid:\"), \"\\t\"))) || Pid <- Captures]), {ok, Packets, binary_to_integer(User)} end"
                ])
            )
        end)
    end).

%% None of the BEAM's rights, and no more open files than it needs.
capture_of_a_beam_with_ambient_capabilities(_Config) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        As = ["setpriv", "--reuid", User, "--regid", User, "--init-groups", "--inh-caps", "+net_raw,+net_admin",
            "--ambient-caps", "+net_raw,+net_admin"],
        procket_machine:inspect(Machine#{as => As}, {"element(1, gen_raw:open(\"lo\", [{exec, [\"\"]}]))", fun(Output, Programs) ->
            ?assertMatch({match, _}, re:run(Output, "ok ready"), Output),
            Pid = proplists:get_value(capture, Programs),
            Status = status(Pid),
            ?assertEqual([0, 0, 0, 0], [capabilities(Set, Status) || Set <- ["CapPrm", "CapEff", "CapInh", "CapAmb"]]),
            {ok, Limits} = file:read_file("/proc/" ++ Pid ++ "/limits"),
            [?assertMatch({match, _}, re:run(Limits, Line)) || Line <- ["Max open files +16 +16 ", "Max processes +0 +0 "]]
        end})
    end).

%% Nor has the compiler of filters any.
compiler_with_ambient_capabilities(_Config) ->
    procket_machine:with(fun(#{user := User, lib := Lib} = Machine) ->
        Program = Lib ++ "/priv/procket-filter",
        case filelib:is_file(Program) of
            false ->
                {comment, "built without libpcap"};
            true ->
                Port = procket_machine:start(Machine, ["setpriv", "--reuid", User, "--regid", User, "--init-groups", "--inh-caps", "+net_raw,+net_admin",
                    "--ambient-caps", "+net_raw,+net_admin", Program, "1", "65535"]),
                {os_pid, N} = erlang:port_info(Port, os_pid),
                Pid = integer_to_list(N),
                try
                    Sets = fun() -> [capabilities(Set, status(Pid)) || Set <- ["CapPrm", "CapEff", "CapInh", "CapAmb"]] end,
                    procket_test:wait_until(fun() -> maps:get("Name", status(Pid)) =:= ["procket-filter"] andalso Sets() =:= [0, 0, 0, 0] end)
                after
                    procket_test:close_port(Port)
                end
        end
    end).

worker_of_an_ordinary_file(_Config) ->
    procket_machine:with(fun(#{lib := Lib} = Machine) -> worker_has_nothing(Machine, Lib ++ "/priv/procket") end).

worker_has_nothing(Machine, Program) ->
    Expression = [
        "(fun() -> application:set_env(procket, port_executable, \"", Program, "\"), {ok, _} = procket:socket(inet, dgram, udp), ",
        "{procket:socket(inet, raw, icmp), procket:setns(\"/proc/self/ns/net\")} end)()"
    ],
    procket_machine:inspect(Machine, {Expression, fun(Output, Programs) ->
        ?assertMatch(<<"{{error,eperm},{error,eperm}} ready", _/binary>>, Output),
        Pid = proplists:get_value(worker, Programs),
        has_only_its_user(Machine, Pid),
        Status = status(Pid),
        ?assertEqual({0, 0}, {capabilities("CapPrm", Status), capabilities("CapEff", Status)}),
        %% What it makes, it makes with the mask of its node, which is that of this one.
        #{"Umask" := Mask} = status(os:getpid()),
        ?assertMatch(#{"NoNewPrivs" := ["1"], "Seccomp" := ["2"], "Umask" := Mask}, Status),
        has_no_surroundings(Pid)
    end}).

%% An opener keeps what a line of the policy may need for its caller, and nothing else; and the right to read the policy, where it takes
%% one.
rights_that_no_line_needs(_Config) ->
    procket_machine:with(fun(#{user := User, dir := Dir} = Machine) ->
        Program = procket_machine:setuid(Machine),
        Kept = fun(Text) ->
            procket_machine:policy(Machine, string:replace(Text, "USER", User, all)),
            permitted_to_opener(Machine, Program)
        end,
        ?assertEqual([net_bind_service], Kept("allow USER udp 53\nallow root any on * in *\n")),
        ?assertEqual([net_raw], Kept("allow USER capture on lo\ndeny USER device *\n")),
        ?assertEqual([dac_override], Kept("allow @USER device net/tun\n")),
        ?assertEqual([net_admin, net_bind_service, sys_admin], Kept("allow * tcp 80 in /run/netns/*\n")),
        ?assertEqual([dac_override, net_admin, net_bind_service, net_raw, sys_admin], Kept("allow USER any on * in *\n")),
        ?assertEqual([], Kept("allow root any\n")),
        ?assertEqual([], Kept("nonsense\n")),
        procket_machine:policy(Machine, ["allow ", User, " udp 53\n"]),
        Policy = Dir ++ "/etc/procket/policy.conf",
        _ = procket_test:sh_ok(["chmod 600 ", Policy]),
        ?assertEqual([dac_read_search, net_bind_service], permitted_to_opener(Machine, Program)),
        ok = file:delete(Policy),
        ?assertEqual([], permitted_to_opener(Machine, Program))
    end).

permitted_to_opener(Machine, Program) ->
    Expression = ["procket:open(0, [{protocol, udp}, {exec, [\"\"]}, {progname, \"", Program, "\"}])"],
    procket_machine:inspect(Machine, {Expression, fun(_Output, Programs) ->
        Permitted = capabilities("CapPrm", status(proplists:get_value(opener, Programs))),
        Names = #{1 => dac_override, 2 => dac_read_search, 10 => net_bind_service, 12 => net_admin, 13 => net_raw, 21 => sys_admin},
        lists:sort([maps:get(N, Names, N) || N <- lists:seq(0, 63), Permitted band (1 bsl N) =/= 0])
    end}).

%% A line that allows what takes a right which was given up: this opener refuses it and ends, and the next one, which has the right, is asked.
policy_that_needs_more(_Config) ->
    procket_machine:with(fun(#{user := User, dir := Dir} = Machine) ->
        Policy = Dir ++ "/etc/procket/policy.conf",
        [
            begin
                procket_machine:policy(Machine, ["allow ", User, " udp 53\n"]),
                procket_machine:with_log(Machine, fun(Next) ->
                    Port = procket_machine:start(Machine, procket_machine:beam_as_user(Machine, [
                        "Open = fun() -> element(1, ", Call, "{exec, [\"\"]}, {progname, \"", procket_machine:setuid(Machine), "\"}])) end, "
                        "Os = fun() -> hd([Pid || #{role := opener, os_pid := Pid} <- procket:info()]) end, "
                        "First = Open(), Old = Os(), io:format(\"~w now~n\", [First]), _ = io:get_line(\"\"), Second = Open(), "
                        "io:format(\"~w~n\", [{Second, Old =/= Os()}]), halt()."
                    ])),
                    <<"error now", _/binary>> = procket_machine:await(Port, <<"now">>),
                    _ = Next(),
                    Change(Policy, User),
                    true = port_command(Port, "\n"),
                    _ = procket_machine:await(Port, <<"{ok,true}">>),
                    ?assertMatch({match, _}, re:run(Next(), ": refused: .*, which ends; ")),
                    ?assertMatch({match, _}, re:run(Next(), ": allowed: "))
                end)
            end
         || {Call, Change} <- [
                {"procket:open(0, [{protocol, icmp}, ", fun(File, Name) -> ok = file:write_file(File, ["allow ", Name, " icmp\n"]) end},
                {"procket:dev(\"net/tun\", [", fun(File, Name) -> ok = file:write_file(File, ["allow ", Name, " device net/tun\n"]) end}
            ]
        ]
    end).

%% libc, libm, libstdc++ and libgcc, with the loader and what the kernel maps.
libraries(_Config) ->
    Lines = string:lexemes(procket_test:sh_ok(["ldd ", procket:progname()]), "\n"),
    Names = [hd(string:lexemes(filename:basename(hd(string:lexemes(Line, " \t"))), ".")) || Line <- Lines],
    ?assertEqual([], Names -- ["libc", "libm", "libstdc++", "libgcc_s", "linux-vdso", "linux-gate", "ld-linux-x86-64", "ld-linux-aarch64"]).

%% A library of the user's, beside the program, in its working directory or named in the environment, is loaded where the user runs the
%% program without rights, and neither through sudo nor by a setuid file.
hostile_libraries(_Config) ->
    procket_machine:with(fun(#{user := User, dir := Dir, lib := Lib} = Machine) ->
        Priv = Lib ++ "/priv",
        Ran = Dir ++ "/home/ran",
        ok = file:write_file(Dir ++ "/hostile.c", [
            "#include <fcntl.h>\n__attribute__((constructor)) static void begin(void) { open(\"", Ran, "\", O_CREAT | O_WRONLY, 0666); }\n"
        ]),
        Linked = [Name || [Name] <- element(2, re:run(procket_test:sh_ok(["ldd ", procket:progname()]), "^\\s*(lib\\S+) =>", [global, multiline, {capture, [1], list}]))],
        ?assert(Linked =/= []),
        Others = ["libprocket.so", "libpcap.so", "libpcap.so.0.8", "libei.so", "liberl_interface.so", "libswiftCore.so"],
        _ = procket_test:sh_ok(["cd ", Priv, " && cc -shared -fPIC -o hostile.so ", Dir, "/hostile.c",
            [[" && cp hostile.so ", Name] || Name <- Linked ++ Others], " && chmod -R a+rX ."]),
        Setuid = procket_machine:setuid(Machine),
        procket_machine:sudoers(Machine, [User, " ALL = (root) NOPASSWD: ", Priv, "/procket opener\n"]),
        Variables = ["LD_LIBRARY_PATH=" ++ Priv, "LD_PRELOAD=" ++ Priv ++ "/hostile.so", "LD_AUDIT=" ++ Priv ++ "/hostile.so", "A=1"],
        Run = fun(Variable, Words) ->
            _ = file:delete(Ran),
            {Status, _} = procket_machine:run_as_user(Machine, ["env", "-C", Priv, Variable | Words]),
            {Status, filelib:is_file(Ran)}
        end,
        [
            begin
                %% A library that was loaded in the place of a real one has not what is needed of it: then the program does not start.
                ?assertEqual(Variable =:= "A=1", {0, false} =:= Run(Variable, [Priv ++ "/procket", "--version"]), Variable),
                %% The programs that start it are not the user's victims.
                Assigned = "A=1; " ++ Variable ++ " exec ",
                ?assertEqual({0, false}, Run("A=1", ["sh", "-c", Assigned ++ Setuid ++ " opener </dev/null"]), Variable),
                ?assertEqual({0, false}, Run("A=1", ["sh", "-c", Assigned ++ "sudo -n " ++ Priv ++ "/procket opener </dev/null"]), Variable)
            end
         || Variable <- Variables
        ]
    end).

%% What make demo runs, beside a resolver that listens on an address of loopback, as systemd-resolved does.
demo(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Resolver = [listening(Name, Protocol) || Protocol <- [udp, tcp]],
        Before = temporary(),
        Line = ["cd ", procket_test:project_root(), " && ip netns exec ", Name, " erlang/examples/demo"],
        case procket_test:sh(Line) of
            {0, Output} ->
                [?assertMatch({match, _}, re:run(Output, Expected), {Expected, Output}) || Expected <- [
                    "runs as user 65534, effective 65534",
                    "without the opener, port 53: \\{error,eacces\\}",
                    "udp, 127.0.0.1 port 53 answers: who is there\\? gen_udp is",
                    "tcp, 127.0.0.1 port 80 answers: gen_tcp says hello",
                    "the port program opener, process \\d+, runs as user 65534, effective 65534, saved 65534, capabilities in force 0+\n",
                    "without a policy:\n *port 53: opened\n *port 80: opened\n */dev/zero: \\{error,eacces\\}\n"
                    "with a policy, allow nobody udp 53:\n *port 53: opened\n *port 80: \\{error,eacces\\}\n.*\n"
                    "where the policy is missing:\n *port 53: \\{error,eacces\\}\n"
                ]],
                ?assertEqual(Before, temporary());
            Failed ->
                error(Failed)
        end,
        [ok = procket:close(FD) || FD <- Resolver]
    end).

listening(Name, Protocol) ->
    {ok, FD} = procket:open(53, [{protocol, Protocol}, {ip, {127, 0, 0, 53}}, {namespace, "/run/netns/" ++ Name}]),
    _ = [ok = procket:listen(FD) || Protocol =:= tcp],
    FD.

temporary() ->
    filelib:wildcard("/tmp/procket-demo-*").

%% A function that opens something in a BEAM of the user, with these options.
open(Machine, Options) ->
    fun(What) -> procket_machine:eval(Machine, ["procket:", What, ", ", Options, "])"]) end.

opens_everything(Open, Name) ->
    opens_sockets(Open),
    ?assertMatch("{ok," ++ _, Open(["open(53, [{protocol, udp}, {namespace, \"/run/netns/", Name, "\"}"])),
    ?assertMatch("{ok," ++ _, Open("dev(\"net/tun\", [{protocol, udp}")).

opens_sockets(Open) ->
    [
        ?assertMatch("{ok," ++ _, Open(What), What)
     || What <- [
            "open(53, [{protocol, udp}", "open(80, [{protocol, tcp}, {backlog, 5}", "open(0, [{protocol, icmp}",
            "open(0, [{protocol, 8}, {family, packet}, {type, raw}, {interface, \"lo\"}", "open(0, [{protocol, udp}, {interface, \"lo\"}"
        ]
    ].

private_device(#{dir := Dir}) ->
    procket_test:sh_ok(["mknod -m 600 ", Dir, "/dev/private c 1 3"]).

%% Starts an opener as the user, and leaves it waiting for input.
with_opener(Machine, Program, Fun) ->
    with_opener(Machine, [], Program, Fun).

with_opener(#{user := User} = Machine, Before, Program, Fun) ->
    Port = procket_machine:start(Machine, Before ++ ["setpriv", "--reuid", User, "--regid", User, "--init-groups", Program, "opener"]),
    {os_pid, N} = erlang:port_info(Port, os_pid),
    Pid = integer_to_list(N),
    try
        procket_test:wait_until(fun() -> maps:get("Seccomp", status(Pid)) =:= ["2"] end),
        Fun(Pid)
    after
        procket_test:close_port(Port)
    end.

%% CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN
all_opening() ->
    lists:sum([1 bsl N || N <- [1, 10, 12, 13, 21]]).

%% CAP_NET_BIND_SERVICE, CAP_NET_RAW
binding_and_raw() ->
    (1 bsl 10) bor (1 bsl 13).

is_reduced(Machine, Pid, Permitted) ->
    has_only_its_user(Machine, Pid),
    Status = status(Pid),
    ?assertEqual(Permitted, capabilities("CapPrm", Status)),
    ?assertEqual([0, 0, 0], [capabilities(Set, Status) || Set <- ["CapEff", "CapInh", "CapAmb"]]),
    ?assertMatch(#{"NoNewPrivs" := ["1"], "Seccomp" := ["2"], "Umask" := ["0077"]}, Status),
    has_no_surroundings(Pid),
    ?assertMatch(["0", "1", "2" | _], descriptors(Pid)),
    {ok, Limits} = file:read_file("/proc/" ++ Pid ++ "/limits"),
    ?assertMatch({match, _}, re:run(Limits, "Max core file size +0 +0 ")),
    %% Not dumpable: its files are root's.
    {ok, #file_info{uid = Owner}} = file:read_file_info("/proc/" ++ Pid ++ "/environ"),
    ?assertEqual(0, Owner).

has_no_surroundings(Pid) ->
    ?assertEqual({ok, "/"}, file:read_link("/proc/" ++ Pid ++ "/cwd")),
    {ok, Environment} = file:read_file("/proc/" ++ Pid ++ "/environ"),
    ?assertEqual(<<>>, binary:replace(Environment, <<0>>, <<>>, [global])).

has_only_its_user(#{uid := Uid}, Pid) ->
    #{"Uid" := Users, "Gid" := Groups, "Groups" := Supplementary} = status(Pid),
    Own = integer_to_list(Uid),
    ?assertEqual([Own, Own, Own, Own], Users),
    ?assertEqual([Own], lists:usort(Groups)),
    ?assertEqual([], Supplementary -- [Own]).

%% What is open, beyond stdio with what it is.
descriptors(Pid) ->
    {ok, Names} = file:list_dir("/proc/" ++ Pid ++ "/fd"),
    [
        case list_to_integer(Name) < 3 of
            true -> Name;
            false -> {Name, element(2, file:read_link("/proc/" ++ Pid ++ "/fd/" ++ Name))}
        end
     || Name <- lists:sort(fun(A, B) -> list_to_integer(A) =< list_to_integer(B) end, Names)
    ].

status(Pid) ->
    {ok, Text} = file:read_file("/proc/" ++ Pid ++ "/status"),
    maps:from_list([
        {binary_to_list(Key), string:lexemes(binary_to_list(Values), "\t ")}
     || Line <- binary:split(Text, <<"\n">>, [global, trim]), [Key, Values] <- [binary:split(Line, <<":">>)]
    ]).

capabilities(Set, Status) ->
    list_to_integer(hd(maps:get(Set, Status)), 16).
