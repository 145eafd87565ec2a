%% /etc/procket/policy.conf: what an opener opens for whom, and what an administrator is told.
-module(policy_SUITE).
-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        ports, groups, groups_under_sudo, families, interfaces, namespaces, devices, with_capabilities, captures, captures_on_an_interface, warnings_of_interfaces,
        only_for_the_privileged, built_in, missing, not_trusted, not_understood, unreadable, changed_while_running, changed_after_it_was_kept, removed_while_running,
        replaced_while_running, log_lines, log_is_full, log_read_by_another, nobody_logs,
        reasons, reason_of_a_refusal_behind_another, reasons_are_for_those_who_ask, check_policy, explain, tools_have_no_rights, documented
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_machine:need(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(groups_under_sudo, Config) -> procket_test:need("sudo", Config);
init_per_testcase(Case, Config) when Case =:= with_capabilities; Case =:= unreadable -> procket_test:need("setcap", Config);
init_per_testcase(_, Config) -> Config.

ports(_Config) ->
    with_policy("deny USER tcp 81\nallow USER udp 53,67-68\nallow USER tcp 80-90 # web\n", fun(_Machine, Ask) ->
        ?assertEqual([ok, ok, ok, eacces, ok, eacces, ok, eacces, eacces, eacces], Ask([
            "53, [{protocol, udp}]", "67, [{protocol, udp}, {family, inet6}]", "68, [{protocol, udp}, {ip, {127,0,0,2}}]", "69, [{protocol, udp}]",
            "80, []", "81, []", "90, []", "53, []", "0, [{protocol, udp}]", "0, [{protocol, icmp}]"
        ]))
    end).

%% The groups are those of the calling process.
groups(_Config) ->
    with_policy("allow @USER udp 53\nallow @root any\nallow @daemon udp 54\n", fun(#{user := User} = Machine, Ask) ->
        Requests = ["53, [{protocol, udp}]", "54, [{protocol, udp}]", "80, []"],
        ?assertEqual([ok, eacces, eacces], Ask(Requests)),
        _ = procket_machine:run_ok(Machine, ["usermod", "-a", "-G", "daemon", User]),
        ?assertEqual([ok, ok, eacces], Ask(Requests))
    end).

%% gen_raw asks for two sockets.
captures(_Config) ->
    with_policy("", fun(#{user := User} = Machine, _Ask) ->
        Opener = setuid(Machine),
        Open = fun(Text, Source) ->
            procket_machine:policy(Machine, string:replace(Text, "USER", User, all)),
            procket_machine:eval(Machine, ["element(1, gen_raw:open(\"", Source, "\", [", Opener, "]))"])
        end,
        [
            ?assertEqual(Expected, Open(Text, Source), {Text, Source})
         || {Expected, Source, Text} <- [
                {"ok", "lo", "allow USER capture on lo\n"},
                {"error", "any", "allow USER capture on lo\n"},
                {"error", "lo", "allow USER capture on eth*\n"},
                {"error", "lo", "allow USER capture\n"},
                {"ok", "any", "allow USER capture\n"},
                {"ok", "lo", "allow USER capture on *\n"},
                {"ok", "any", "allow USER capture on *\n"},
                {"ok", "lo", "deny USER capture on eth*\nallow USER capture on *\n"},
                {"error", "lo", "deny USER capture on l?\nallow USER capture on *\n"},
                {"error", "lo", "allow USER packet 0x0800 on *\nallow USER socket netlink raw 0\n"},
                {"error", "lo", "allow USER packet 0 on lo\n"},
                {"ok", "lo", "allow USER packet 0 on lo\nallow USER socket netlink raw 0\n"},
                {"ok", "lo", "allow USER any on * in *\n"}
            ]
        ]
    end).

%% What `on' does not do.
warnings_of_interfaces(_Config) ->
    with_policy("deny USER any on mgmt*\nallow USER packet * on eth0\nallow USER udp * on *\n", fun(#{lib := Lib} = Machine, _Ask) ->
        File = "/etc/procket/policy.conf",
        {0, Output} = procket_machine:run(Machine, [Lib ++ "/priv/procket", "--check-policy", File]),
        [?assertMatch({match, _}, re:run(Output, ["^", File, ": ", Line], [multiline]), Output) || Line <- [
            "3 rules$", "line 1: warning: line 3 allows sockets that are on no interface", "line 2: warning: the filter of a packet socket on eth0 is locked"
        ]]
    end).

%% Where a line is about one interface, the filter of gen_raw and that of the opener decide together.
captures_on_an_interface(_Config) ->
    with_policy("allow USER capture on lo\nallow USER udp * on *\n", fun(Machine, Ask) ->
        Instructions = "[bpf:stmt(16#28, 36), bpf:jump(16#15, P, 0, 1), bpf:stmt(6, 100), bpf:stmt(6, 0)]",
        ?assertEqual(
            "{[<<97>>,<<97>>,<<97>>],true,{error,eperm}}",
            procket_machine:eval(Machine, [
                "begin {ok, A} = gen_udp:open(0, [{ip, {127,0,0,1}}]), {ok, B} = gen_udp:open(0, [{ip, {127,0,0,1}}]), {ok, P} = inet:port(A), {ok, Q} = inet:port(B), "
                "{ok, R} = gen_raw:open(\"lo\", [{direction, in}, {filter, ", Instructions, "}, ", setuid(Machine), "]), "
                "[begin ok = gen_udp:send(A, {127,0,0,1}, Q, \"b\"), ok = gen_udp:send(B, {127,0,0,1}, P, \"a\") end || _ <- [1, 2, 3]], "
                "Got = fun Got(Found) when length(Found) >= 3 -> Found; "
                "Got(Found) -> {ok, L} = gen_raw:recv(R, 10000), Got(Found ++ [binary:part(X, 42, 1) || X <- L]) end, "
                "All = Got([]), {ok, #{index := Index}} = gen_raw:info(R), "
                %% A socket of its own that the opener locked takes no other filter.
                "{ok, FD} = procket_open:capture(raw, <<\"lo\">>, <<>>, [", setuid(Machine), "]), "
                "{All, Index =:= 1, packet:filter(FD, [bpf:stmt(6, 0)])} end"
            ])
        ),
        ?assertEqual([eacces], Ask(["0, [{family, packet}, {protocol, 0}, {interface, \"eth0\"}]"]))
    end).

%% Root's groups are not the caller's: those are in /etc/group.
groups_under_sudo(_Config) ->
    with_policy("allow @USER udp 53\nallow @root any\nallow @daemon udp 54\n", fun(#{user := User, lib := Lib} = Machine, _) ->
        procket_machine:sudoers(Machine, [User, " ALL = (root) NOPASSWD: ", Lib, "/priv/procket opener\n"]),
        _ = procket_machine:run_ok(Machine, ["usermod", "-a", "-G", "daemon", User]),
        Requests = ["53, [{protocol, udp}]", "54, [{protocol, udp}]", "80, []"],
        ?assertEqual([ok, ok, eacces], ask(Machine, "{exec, [\"sudo\"]}", Requests))
    end).

families(_Config) ->
    with_policy("allow USER icmp\nallow USER packet 0x0800\nallow USER socket netlink raw 15\n", fun(_Machine, Ask) ->
        ?assertEqual([ok, eacces, ok, eacces, ok, eacces, eacces, eacces], Ask([
            "0, [{protocol, icmp}]", "0, [{protocol, icmp6}]", "0, [{family, packet}, {protocol, 8}]",
            "0, [{family, packet}, {protocol, 16#0300}]", "0, [{family, netlink}, {protocol, 15}]", "0, [{family, netlink}]",
            "0, [{protocol, raw}]",
            %% SOCK_PACKET, another way to a packet socket of all protocols
            "0, [{family, inet}, {type, 10}, {protocol, 16#0300}]"
        ]))
    end).

interfaces(_Config) ->
    with_policy("allow USER udp 53 on lo\nallow USER packet * on l?\n", fun(_Machine, Ask) ->
        ?assertEqual([ok, eacces, eacces, ok, eacces], Ask([
            "53, [{protocol, udp}, {interface, \"lo\"}]", "53, [{protocol, udp}]", "53, [{protocol, udp}, {interface, \"eth0\"}]",
            "0, [{family, packet}, {protocol, 8}, {interface, \"lo\"}]", "0, [{family, packet}, {protocol, 8}]"
        ]))
    end).

%% The path that a line names is the one that is opened: no other way leads there.
namespaces(_Config) ->
    procket_test:with_netns(fun(Name) ->
        with_policy(["allow USER udp 53 in /run/netns/", Name, "\nallow USER udp 54 in *\n"], fun(#{dir := Dir}, Ask) ->
            Path = "/run/netns/" ++ Name,
            Link = Dir ++ "/home/link",
            ok = file:make_symlink(Path, Link),
            Request = fun(Port, P) -> [Port, ", [{protocol, udp}, {namespace, \"", P, "\"}]"] end,
            ?assertEqual([ok, eacces, eacces, eacces, ok, eloop, eloop, einval, einval], Ask([
                Request("53", Path), "53, [{protocol, udp}]", Request("53", "/run/netns/other"), Request("53", "/run/netns//" ++ Name),
                Request("54", Path), Request("54", Link), Request("54", "/proc/self/ns/net"),
                Request("54", "/run/netns/../netns/" ++ Name), Request("54", "/etc/passwd")
            ]))
        end)
    end).

devices(_Config) ->
    with_policy("deny USER device tap3\nallow USER device net/tun\nallow USER device tap*\nallow USER device num0\n", fun(#{dir := Dir} = Machine, _Ask) ->
        [_ = procket_test:sh_ok(["mknod -m 600 ", Dir, "/dev/", N, " c 1 3"]) || N <- ["tap3", "secret", "tapx", "num0"]],
        _ = procket_test:sh_ok(["ln -s secret ", Dir, "/dev/taplink; mkdir ", Dir, "/dev/tapdir; touch ", Dir, "/dev/tapfile"]),
        Opener = setuid(Machine),
        Dev = fun(Device) -> result(procket_machine:eval(Machine, ["procket:dev(\"", Device, "\", [", Opener, "])"])) end,
        ?assertEqual(
            [ok, ok, eacces, eacces, eacces, eloop, enodev, enodev, enoent],
            [Dev(D) || D <- ["net/tun", "tapx", "secret", "tap3", "null", "taplink", "tapdir", "tapfile", "tapnone"]]
        ),
        %% The first of the numbered ones is one that may not be opened.
        ?assertEqual(eacces, Dev("tap")),
        %% A line about a numbered one alone is not about the name without a number.
        ?assertEqual([ok, eacces], [Dev("num0"), Dev("num")])
    end).

with_capabilities(_Config) ->
    with_policy("allow USER udp 53\n", fun(Machine, _Ask) ->
        Opener = procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw+ep"),
        ?assertEqual([ok, eacces, eacces], ask(Machine, progname(Opener), [
            "53, [{protocol, udp}]", "54, [{protocol, udp}]", "0, [{protocol, icmp}]"
        ])),
        %% The filter of a TCP socket takes a right on newer kernels, and is not left out without it.
        #{user := User} = Machine,
        procket_machine:policy(Machine, ["allow ", User, " any on lo\n"]),
        Requests = ["53, [{protocol, udp}, {interface, \"lo\"}]", "0, [{protocol, icmp}, {interface, \"lo\"}]", "80, [{interface, \"lo\"}]"],
        [ok, ok, Tcp] = ask(Machine, progname(Opener), Requests),
        ?assert(lists:member(Tcp, [ok, eperm]), Tcp),
        More = procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw,cap_net_admin+ep"),
        ?assertEqual([ok, ok, ok], ask(Machine, progname(More), Requests))
    end).

%% Who opens with the caller's own rights is not asked.
only_for_the_privileged(_Config) ->
    with_policy("deny * any\n", fun(Machine, Ask) ->
        ?assertEqual([eacces], Ask(["0, [{protocol, udp}]"])),
        ?assertEqual([ok, eacces], ask(Machine, "{exec, [\"\"]}", ["0, [{protocol, udp}]", "53, [{protocol, udp}]"])),
        %% A BEAM that may do it itself.
        Ambient = ["--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service"],
        ?assertMatch({0, "{ok," ++ _}, procket_machine:run(Machine, user(Machine) ++ Ambient ++ beam(Machine, "procket:open(53, [{protocol, udp}, {exec, [\"\"]}])")))
    end).

not_trusted(_Config) ->
    with_policy("allow * any\n", fun(#{dir := Dir, uid := Uid} = Machine, Ask) ->
        File = Dir ++ "/etc/procket/policy.conf",
        Refused = fun(Change, Reason) ->
            procket_machine:policy(Machine, "allow * any\n"),
            _ = procket_test:sh_ok(Change),
            procket_machine:with_log(Machine, fun(Next) ->
                ?assertEqual([eacces], Ask(["53, [{protocol, udp}]"])),
                ?assertMatch({match, _}, re:run(Next(), ": refused: /etc/procket/policy.conf: " ++ Reason ++ "; user=.* request=\"udp 53\"$"))
            end)
        end,
        Refused(["chown ", integer_to_list(Uid), " ", File], "does not belong to root"),
        Refused(["chmod 664 ", File], "can be written by others than root"),
        Refused(["chmod 646 ", File], "can be written by others than root"),
        Refused(["mv ", File, " ", File, ".real; ln -s policy.conf.real ", File], "is a symbolic link"),
        Refused(["rm ", File, "; mkdir ", File], "is not a file"),
        _ = procket_test:sh_ok(["rmdir ", File]),
        Refused(["yes '# to fill it' | head -c 70000 >>", File], "cannot be read: efbig"),
        %% Only root's group and nobody may read it: an opener may.
        procket_machine:policy(Machine, "allow * any\n"),
        _ = procket_test:sh_ok(["chmod 600 ", File]),
        ?assertEqual([ok], Ask(["53, [{protocol, udp}]"])),
        Refused(["chmod 775 ", filename:dirname(File)], "its directory can be written by others than root"),
        _ = procket_test:sh_ok(["chmod 700 ", filename:dirname(File)]),
        ?assertEqual([ok], Ask(["53, [{protocol, udp}]"]))
    end).

%% A machine without a policy: sockets and network devices, and no others.
built_in(_Config) ->
    procket_machine:with(fun(#{dir := Dir, lib := Lib, user := User} = Machine) ->
        Options = setuid(Machine),
        _ = procket_test:sh_ok(["mknod -m 600 ", Dir, "/dev/tapx c 1 3; mknod -m 600 ", Dir, "/dev/secret c 1 3"]),
        Requests = [
            "53, [{protocol, udp}]", "80, []", "0, [{protocol, icmp}]", "0, [{protocol, icmp6}]", "0, [{family, packet}, {protocol, 8}]",
            "0, [{family, netlink}, {type, raw}]", "0, [{protocol, udp}, {interface, \"lo\"}]", "0, [{dev, \"net/tun\"}]", "0, [{dev, \"tapx\"}]",
            "0, [{dev, \"secret\"}]", "0, [{dev, \"null\"}]", "0, [{family, unix}, {type, stream}]", "0, [{family, 38}, {type, 5}]"
        ],
        ?assertEqual([ok, ok, ok, ok, ok, ok, ok, ok, ok, eacces, eacces, eacces, eacces], ask(Machine, Options, Requests)),
        %% It is what is printed.
        {0, Text} = procket_machine:run(Machine, [Lib ++ "/priv/procket", "--explain"]),
        ?assertEqual(
            {0, "there is no /etc/procket/policy.conf\nudp 53 is allowed by line 3 of the built-in default: allow * udp * on * in *\n"},
            procket_machine:run(Machine, [Lib ++ "/priv/procket", "--explain", User, "udp 53"])
        ),
        ?assertMatch(
            {1, "there is no " ++ _}, procket_machine:run(Machine, [Lib ++ "/priv/procket", "--explain", User, "device pts/0"])
        ),
        procket_machine:policy(Machine, Text),
        ?assertEqual([ok, eacces], ask(Machine, Options, ["53, [{protocol, udp}]", "0, [{dev, \"secret\"}]"]))
    end).

%% The directory says that there is a policy; a file where earlier versions had it does so too.
missing(_Config) ->
    procket_machine:with(fun(#{dir := Dir} = Machine) ->
        Options = setuid(Machine),
        Refused = fun(Reason) ->
            procket_machine:with_log(Machine, fun(Next) ->
                ?assertEqual([eacces], ask(Machine, Options, ["53, [{protocol, udp}]"])),
                ?assertMatch({match, _}, re:run(Next(), ": refused: /etc/procket/policy.conf: " ++ Reason ++ "; user=.* request=\"udp 53\"$"))
            end)
        end,
        ok = file:make_dir(Dir ++ "/etc/procket"),
        Refused("cannot be read: enoent"),
        ok = file:del_dir(Dir ++ "/etc/procket"),
        ok = file:write_file(Dir ++ "/etc/procket", ""),
        Refused("its directory is not a directory"),
        ok = file:delete(Dir ++ "/etc/procket"),
        ok = file:make_symlink("nowhere", Dir ++ "/etc/procket"),
        Refused("its directory is not a directory"),
        ok = file:delete(Dir ++ "/etc/procket"),
        ok = file:write_file(Dir ++ "/etc/procket.conf", "allow * any on * in *\n"),
        Refused("cannot be read: enoent")
    end).

%% One that has seen a policy does not take its absence, with the directory, for leave to open anything.
removed_while_running(_Config) ->
    with_policy("allow USER udp 53\n", fun(#{dir := Dir} = Machine, _Ask) ->
        {Port, Next} = opening_twice(Machine),
        _ = procket_test:sh_ok(["rm -r ", Dir, "/etc/procket"]),
        Next("{error,eacces}"),
        procket_test:close_port(Port)
    end).

not_understood(_Config) ->
    with_policy("allow USER udp 53\nallow USER udp 54\n\npermit USER any\n", fun(#{user := User, uid := Uid} = Machine, Ask) ->
        procket_machine:with_log(Machine, fun(Next) ->
            ?assertEqual([eacces], Ask(["53, [{protocol, udp}]"])),
            Expected = io_lib:format(
                "^<85>procket\\[[0-9]+\\]: refused: /etc/procket/policy.conf: line 4: allow or deny, not permit; user=~s uid=~b request=\"udp 53\"$", [User, Uid]),
            ?assertMatch({match, _}, re:run(Next(), Expected))
        end),
        procket_machine:policy(Machine, "allow * udp 53\nallow somebody-gone any\n"),
        ?assertEqual([eacces], Ask(["53, [{protocol, udp}]"]))
    end).

%% An opener that has only two capabilities cannot read what is not for everyone.
unreadable(_Config) ->
    with_policy("allow * any\n", fun(#{dir := Dir} = Machine, _Ask) ->
        _ = procket_test:sh_ok(["chmod 600 ", Dir, "/etc/procket/policy.conf"]),
        Opener = procket_machine:capable(Machine, "cap_net_bind_service,cap_net_raw+ep"),
        ?assertEqual([eacces], ask(Machine, progname(Opener), ["53, [{protocol, udp}]"]))
    end).

%% An opener that runs takes up what the administrator writes.
changed_while_running(_Config) ->
    with_policy("allow USER udp 53\n", fun(#{dir := Dir} = Machine, _Ask) ->
        {Port, Next} = opening_twice(Machine),
        ok = file:write_file(Dir ++ "/etc/procket/policy.conf", "deny * any\n"),
        Next("{error,eacces}"),
        procket_test:close_port(Port)
    end).

%% An opener keeps a policy whose files have not changed for some seconds. A change of the same length is seen all the same, and one of the
%% accounts too.
changed_after_it_was_kept(_Config) ->
    [
        with_policy("allow USER udp 53\n", fun(#{dir := Dir, user := User} = Machine, _Ask) ->
            Etc = Dir ++ "/etc/",
            Files = [Etc ++ Name || Name <- ["procket/policy.conf", "passwd", "group"]],
            procket_test:wait_until(fun() -> os:system_time(second) > lists:max([changed(File) || File <- Files]) + 3 end),
            {Port, Next} = opening_twice(Machine),
            ok = Change(Etc, User),
            Next("{error,eacces}"),
            procket_test:close_port(Port)
        end)
     || Change <- [
            fun(Etc, User) -> file:write_file(Etc ++ "procket/policy.conf", ["deny  ", User, " udp 53\n"]) end,
            fun(Etc, User) ->
                _ = procket_test:sh_ok(["sed -i '/^", User, ":/d' ", Etc, "passwd"]),
                ok
            end
        ]
    ].

%% When a file changed last, in seconds.
changed(File) ->
    {ok, #file_info{ctime = Time}} = file:read_file_info(File, [{time, posix}]),
    Time.

%% An opener can open the files that were there when it started: for others another one takes its place, and the caller has what it asked for.
replaced_while_running(_Config) ->
    [
        procket_machine:with(fun(#{user := User, dir := Dir} = Machine) ->
            Policy = string:replace(["allow USER udp 53-54\nallow USER device net/tun\nallow USER device tap*\n", Line], "DIR", Dir, all),
            procket_machine:policy(Machine, string:replace(Policy, "USER", User, all)),
            Opener = setuid(Machine),
            Open = fun(Words) -> ["element(1, ", Words, ", ", Opener, "]))"] end,
            Expression = [
                "begin Os = fun() -> hd([Pid || #{role := opener, os_pid := Pid} <- procket:info()]) end, ",
                "First = ", Open("procket:open(53, [{protocol, udp}"), ", Old = Os(), ",
                "{ok, _} = file:read_file(\"/proc/self/status\"), io:format(\"now~n\"), _ = io:get_line(\"\"), ",
                "Then = ", Open(string:replace(Request, "DIR", Dir, all)), ", {First, Then, Old =/= Os()} end"
            ],
            Port = procket_machine:start(Machine, user(Machine) ++ beam(Machine, Expression)),
            _ = await(Port, "now"),
            {os_pid, Beam} = erlang:port_info(Port, os_pid),
            Inside = ["nsenter -t ", integer_to_list(Beam), " -m sh -ec '", string:replace(Change, "DIR", Dir, all), "'"],
            ?assertMatch({0, _}, procket_test:sh(Inside)),
            true = port_command(Port, "\n"),
            _ = await(Port, "{ok,ok,true}")
        end)
     || {Line, Change, Request} <- [
            {"", "mknod -m 600 /dev/tap7 c 1 3", "procket:dev(\"tap7\", [{namespace, \"\"}"},
            {"", "mknod -m 600 /dev/tap0 c 1 3", "procket:dev(\"tap\", [{namespace, \"\"}"},
            {"", "rm /dev/net/tun; mknod -m 600 /dev/net/tun c 10 200", "procket:dev(\"net/tun\", [{namespace, \"\"}"},
            {"", "cp -p /etc/passwd /etc/passwd.new; mv /etc/passwd.new /etc/passwd", "procket:open(54, [{protocol, udp}"},
            {"", "cp -rp /etc/procket /etc/procket.new; rm -r /etc/procket; mv /etc/procket.new /etc/procket", "procket:open(54, [{protocol, udp}"},
            {"allow USER udp 55 in DIR/ns/*\n", "mkdir DIR/ns; touch DIR/ns/a; mount --bind /proc/self/ns/net DIR/ns/a",
                "procket:open(55, [{protocol, udp}, {namespace, \"DIR/ns/a\"}"}
        ]
    ].

%% One whose log is read by somebody else by now makes room for one that is connected to it.
log_read_by_another(_Config) ->
    with_policy("allow USER udp 53\n", fun(Machine, _Ask) ->
        Opener = setuid(Machine),
        Expression = [
            "begin Open = fun(Port) -> element(1, procket:open(Port, [{protocol, udp}, ", Opener, "])) end, First = Open(54), ",
            "{ok, _} = file:read_file(\"/proc/self/status\"), io:format(\"now~n\"), _ = io:get_line(\"\"), Then = Open(54), ",
            "io:format(\"again~n\"), _ = io:get_line(\"\"), {First, Then, Open(53)} end"
        ],
        Port = procket_machine:start(Machine, user(Machine) ++ beam(Machine, Expression)),
        _ = await(Port, "now"),
        procket_machine:with_log(Machine, fun(Next) ->
            true = port_command(Port, "\n"),
            _ = await(Port, "again"),
            ?assertMatch({match, _}, re:run(Next(), ": refused: .*\"udp 54\"$")),
            ?assertEqual(none, Next())
        end),
        procket_machine:with_log(Machine, fun(Next) ->
            true = port_command(Port, "\n"),
            _ = await(Port, "{error,error,ok}"),
            ?assertMatch({match, _}, re:run(Next(), ": allowed: .*\"udp 53\"$")),
            ?assertEqual(none, Next())
        end)
    end).

%% A BEAM that has opened udp 53, and a function that has the same opener open it again and waits for the result.
opening_twice(Machine) ->
    Expression = [
        "begin Open = fun() -> procket:open(53, [{protocol, udp}, ", setuid(Machine), "]) end, {ok, FD} = Open(), procket:close(FD), ",
        "{ok, _} = file:read_file(\"/proc/self/status\"), io:format(\"now~n\"), _ = io:get_line(\"\"), Open() end"
    ],
    Port = procket_machine:start(Machine, user(Machine) ++ beam(Machine, Expression)),
    _ = await(Port, "now"),
    {Port, fun(Result) ->
        true = port_command(Port, "\n"),
        _ = await(Port, Result)
    end}.

%% One line for each request: the verdict and the line of the policy first, then the user, and what the caller wrote in quotes.
log_lines(_Config) ->
    with_policy("allow USER udp 53\ndeny USER tcp 80\nallow USER tcp 83 in *\n", fun(#{user := User, uid := Uid} = Machine, Ask) ->
        procket_machine:with_log(Machine, fun(Next) ->
            Long = "/" ++ lists:duplicate(2000, $x),
            ?assertEqual([ok, eacces, eacces, eacces, eacces, enoent, eacces], Ask([
                "53, [{protocol, udp}]", "80, []", "81, [{interface, \"lo\"}]", "0, [{dev, \"net/tun\"}]",
                "82, [{namespace, \"/a\\nb\\e[1m\\\" user=root\\\\\"}]", "83, [{namespace, \"/nowhere\"}]", ["84, [{namespace, \"", Long, "\"}]"]
            ])),
            Who = lists:flatten(io_lib:format("; user=~s uid=~b ", [User, Uid])),
            Lines = [begin {match, [Line]} = re:run(Next(), "^<8[56]>procket\\[[0-9]+\\]: (.*)$", [{capture, [1], list}, dotall]), Line end || _ <- lists:seq(1, 7)],
            {Short, [Cut]} = lists:split(6, Lines),
            ?assertEqual([
                "allowed: line 1 of /etc/procket/policy.conf" ++ Who ++ "request=\"udp 53\"",
                "refused: line 2 of /etc/procket/policy.conf denies it" ++ Who ++ "request=\"tcp 80\"",
                "refused: no line of /etc/procket/policy.conf allows it" ++ Who ++ "request=\"tcp 81 on lo\"",
                "refused: no line of /etc/procket/policy.conf allows it" ++ Who ++ "request=\"device net/tun\"",
                "refused: no line of /etc/procket/policy.conf allows it" ++ Who ++ "request=\"tcp 82 in /a\\x0ab\\x1b[1m\\\" user=root\\\\\"",
                "allowed: line 3 of /etc/procket/policy.conf" ++ Who ++ "error=enoent request=\"tcp 83 in /nowhere\""
            ], Short),
            ?assertMatch({match, _}, re:run(Cut, "^refused: no line of /etc/procket/policy.conf allows it" ++ escaped(Who) ++ "request=\"tcp 84 in /x+\"\\.\\.\\.$")),
            ?assert(length(Cut) < 1000),
            ?assertEqual(none, Next())
        end)
    end).

escaped(Text) ->
    re:replace(Text, "[()]", "\\\\&", [global, {return, list}]).

%% What is not taken is counted, and the caller is told; the refusal stands.
log_is_full(_Config) ->
    with_policy("allow USER udp 53\n", fun(Machine, _Ask) ->
        Options = setuid(Machine),
        procket_machine:with_log(Machine, fun(Next) ->
            Expression = [
                "begin Refused = fun() -> procket:open(80, [", Options, "]) end, Reasons = fun() -> [maps:keys(R) || #{role := opener, refusals := R} <- procket:info()] end, "
                "Fill = fun Fill(N) -> {error, eacces} = Refused(), case Reasons() of [[<<\"denied by policy\">>]] -> Fill(N + 1); Both -> {N, Both} end end, "
                "Full = Fill(1), ok = procket:close(element(2, procket:open(53, [{protocol, udp}, ", Options, "]))), "
                "{ok, _} = file:read_file(\"/proc/self/status\"), io:format(\"~0p full~n\", [Full]), _ = io:get_line(\"\"), Refused() end"
            ],
            Port = procket_machine:start(Machine, user(Machine) ++ beam(Machine, Expression)),
            Output = await(Port, "full"),
            {match, [Digits]} = re:run(Output, "{(\\d+),\\[\\[<<\"denied by policy\">>,<<\"denied by policy; not logged: eagain\">>\\]\\]} full", [{capture, [1], list}]),
            Logged = list_to_integer(Digits) - 1,
            [?assertMatch({match, _}, re:run(Next(), ": refused: ")) || _ <- lists:seq(1, Logged)],
            true = port_command(Port, "\n"),
            _ = await(Port, "{error,eacces}"),
            procket_test:close_port(Port),
            Lost = Next(),
            ?assertMatch({match, _}, re:run(Lost, "^<85>procket\\[\\d+\\]: 2 lines before this one could not be logged$"), Lost),
            ?assertMatch({match, _}, re:run(Next(), ": refused: .*\"tcp 80\"$")),
            ?assertEqual(none, Next())
        end)
    end).

nobody_logs(_Config) ->
    with_policy("allow USER udp 53\n", fun(_Machine, Ask) -> ?assertEqual([ok, eacces], Ask(["53, [{protocol, udp}]", "54, [{protocol, udp}]"])) end).

%% The node hears why, and logs each reason once.
reasons(_Config) ->
    with_policy("allow USER udp 53\n", fun(#{dir := Dir} = Machine, _Ask) ->
        File = Dir ++ "/etc/procket/policy.conf",
        Open = fun(Options) ->
            lists:flatten(["{[procket:open(54, [{protocol, udp}, ", Options, "]) || _ <- [1, 2, 3]], [R || #{role := opener, refusals := R} <- procket:info()]}"])
        end,
        Says = fun(Options, Reason) ->
            {0, Output} = procket_machine:run_as_user(Machine, beam(Machine, notice, Open(Options))),
            ?assertMatch({match, _}, re:run(Output, "{\\[{error,eacces},{error,eacces},{error,eacces}\\],\\[#{<<\"" ++ Reason ++ "\">> => 3}\\]}")),
            ?assertMatch({match, [_]}, re:run(Output, "procket: .* opener refused port 54 .* with eacces: " ++ Reason, [global])),
            ?assertEqual(nomatch, re:run(Output, "secret"))
        end,
        procket_machine:with_log(Machine, fun(Next) ->
            Logged = fun(Reason) ->
                Says(setuid(Machine), Reason),
                [?assertMatch({match, _}, re:run(Next(), ": refused: ")) || _ <- [1, 2, 3]]
            end,
            Logged("denied by policy"),
            procket_machine:policy(Machine, "# one\n\nallow secret udp 53\n"),
            Logged("policy unreadable: line 3"),
            _ = procket_test:sh_ok(["chmod 666 ", File]),
            Logged("policy unreadable"),
            ok = file:delete(File),
            Logged("no policy"),
            %% It is not the policy that refuses.
            ok = file:del_dir(Dir ++ "/etc/procket"),
            Says(progname(procket_machine:root_owned(Machine)), "not privileged"),
            ?assertEqual(none, Next())
        end),
        Says(progname(procket_machine:root_owned(Machine)), "not privileged"),
        ok = file:make_dir(Dir ++ "/etc/procket"),
        Says(setuid(Machine), "no policy; not logged: enoent")
    end).

%% One that opens in the end was refused by nobody, and is no news.
reason_of_a_refusal_behind_another(_Config) ->
    with_policy("allow USER udp 53\n", fun(Machine, _Ask) ->
        Prefix = procket_machine:root_owned(Machine),
        ok = file:write_file(Prefix, ["#!/bin/sh\nexec ", procket_machine:setuid(Machine), " opener\n"]),
        Open = fun(Port) ->
            Expression = ["element(1, procket:open(", Port, ", [{protocol, udp}, {exec, [\"\", \"", Prefix, "\"]}]))"],
            {0, Output} = procket_machine:run_as_user(Machine, beam(Machine, notice, lists:flatten(Expression))),
            Output
        end,
        ?assertEqual("ok\n", Open("53")),
        Refused = Open("54"),
        ?assertMatch({match, _}, re:run(Refused, "refused port 54 .* with eacces: not privileged")),
        ?assertMatch({match, _}, re:run(Refused, "refused port 54 .* with eacces: denied by policy"))
    end).

%% A node of before does not ask, and gets the answers that it knows.
reasons_are_for_those_who_ask(_Config) ->
    with_policy("allow USER udp 53\n", fun(Machine, _Ask) ->
        Script = fun(Asks) -> procket_machine:run_as_user(Machine, beam(Machine, error, lists:flatten(before(procket_machine:setuid(Machine), Asks)))) end,
        ?assertEqual({0, "{1,{error,eacces}}\n"}, Script("")),
        ?assertEqual({0, "{1,{error,{eacces,<<\"denied by policy; not logged: enoent\">>}}}\n"}, Script("{1, ok} = Ask(reasons, []), "))
    end).

%% An expression: the answer of an opener to a request, where `Asks' comes before it.
before(Opener, Asks) ->
    [
        "begin Path = \"/tmp/opener-\" ++ os:getpid(), "
        "{ok, Listener} = gen_tcp:listen(0, [{ifaddr, {local, Path}}, {active, false}, binary]), "
        "Port = open_port({spawn_executable, \"", Opener, "\"}, [{args, [\"opener\"]}, {packet, 2}, binary]), "
        "port_command(Port, term_to_binary({1, attach, [list_to_binary(Path), binary:copy(<<1>>, 32), 0]})), "
        "{1, {ok, 3, _}} = receive {Port, {data, Data}} -> binary_to_term(Data) end, "
        "{ok, Connection} = gen_tcp:accept(Listener), ok = file:delete(Path), {ok, _Secret} = gen_tcp:recv(Connection, 32), "
        "ok = inet:setopts(Connection, [{packet, 4}]), "
        "Ask = fun(Function, Args) -> ok = gen_tcp:send(Connection, term_to_binary({1, Function, Args})), "
        "{ok, Answer} = gen_tcp:recv(Connection, 0), binary_to_term(Answer) end, ", Asks,
        "Ask(open, [#{family => 2, type => 2, protocol => 17, port => 54}]) end"
    ].

check_policy(_Config) ->
    with_policy("allow USER udp 53\ndeny @root any\n", fun(#{dir := Dir, lib := Lib} = Machine, _Ask) ->
        Check = fun(File) -> procket_machine:run(Machine, [Lib ++ "/priv/procket", "--check-policy", File]) end,
        ?assertEqual({0, "/etc/procket/policy.conf: 2 rules\n"}, Check("/etc/procket/policy.conf")),
        Draft = Dir ++ "/home/draft",
        ok = file:write_file(Draft, "# nothing yet\nallow root udp 53\n"),
        _ = procket_test:sh_ok(["chmod 666 ", Draft]),
        ?assertEqual({0, Draft ++ ": 1 rule\n"}, Check(Draft)),
        ok = file:write_file(Draft, "allow root udp 53\nallow root udp 99999\n"),
        ?assertEqual({1, Draft ++ ": line 2: not a port or a range of ports: 99999\n"}, Check(Draft)),
        ?assertEqual({1, Draft ++ "x: cannot be read: enoent\n"}, Check(Draft ++ "x")),
        %% All that is wrong, and what is doubtful.
        ok = file:write_file(Draft, "allow root udp 99999\nallow root tcp *\nallow nobody-here any\ndeny root tcp 80\n"),
        ?assertEqual({1, lists:append([Draft ++ ": " ++ Line ++ "\n" || Line <- [
            "line 1: not a port or a range of ports: 99999", "line 3: no user nobody-here in /etc/passwd",
            "line 4: warning: it never decides: line 2 decides each request that it is about"]])}, Check(Draft)),
        %% A warning is no error.
        ok = file:write_file(Draft, "allow root udp 53 on a234567890123456\n"),
        ?assertEqual(
            {0, Draft ++ ": line 1: warning: it matches nothing: no interface can have such a name\n" ++ Draft ++ ": 1 rule\n"}, Check(Draft)),
        ok = file:write_file(Draft, ""),
        ?assertEqual({0, Draft ++ ": warning: no line allows anything, so all is refused\n" ++ Draft ++ ": 0 rules\n"}, Check(Draft)),
        %% The machine's own, if no other is named.
        Own = fun() -> procket_machine:run(Machine, [Lib ++ "/priv/procket", "--check-policy"]) end,
        ?assertEqual({0, "/etc/procket/policy.conf: 2 rules\n"}, Own()),
        _ = procket_test:sh_ok(["chmod 666 ", Dir, "/etc/procket/policy.conf"]),
        [?assertEqual({1, "/etc/procket/policy.conf: can be written by others than root\n"}, Result) || Result <- [Check("/etc/procket/policy.conf"), Own()]],
        ok = file:delete(Dir ++ "/etc/procket/policy.conf"),
        ?assertEqual({1, "/etc/procket/policy.conf: cannot be read: enoent\n"}, Own()),
        ok = file:del_dir(Dir ++ "/etc/procket"),
        ?assertEqual({0, "there is no /etc/procket/policy.conf: the built-in default counts\n"}, Own()),
        ?assertEqual({1, "/etc/procket/policy.conf: cannot be read: enoent\n"}, Check("/etc/procket/policy.conf"))
    end).

explain(_Config) ->
    with_policy("deny USER udp 54\nallow @USER udp 1-1023\n\nallow root device net/*\n", fun(#{dir := Dir, user := User, lib := Lib} = Machine, _Ask) ->
        Explain = fun(Who, What) -> procket_machine:run(Machine, [Lib ++ "/priv/procket", "--explain", Who | What]) end,
        ?assertEqual(
            {0, "udp 53 is allowed by line 2 of /etc/procket/policy.conf: allow @" ++ User ++ " udp 1-1023\n"}, Explain(User, ["udp", "53"])),
        ?assertEqual(
            {1, "udp 54 is refused by line 1 of /etc/procket/policy.conf: deny " ++ User ++ " udp 54\n"}, Explain(User, ["udp 54"])),
        ?assertEqual({1, "tcp 80 on eth0 is refused: no line of /etc/procket/policy.conf allows it\n"}, Explain(User, ["tcp 80 on eth0"])),
        ?assertMatch({0, "device net/tun is allowed by line 4" ++ _}, Explain("#0", ["device", "net/tun"])),
        ?assertEqual({2, "procket: no user nobody-here in /etc/passwd\n"}, Explain("nobody-here", ["udp", "53"])),
        ?assertEqual({2, "procket: not a thing to open: nothing\n"}, Explain(User, ["nothing"])),
        %% The words do not say which.
        procket_machine:policy(Machine, ["allow ", User, " socket inet6 raw 6\nallow * raw *\n"]),
        ?assertEqual(
            {0, lists:append(["inet: raw 6 is allowed by line 2 of /etc/procket/policy.conf: allow * raw *\n",
                "inet6: raw 6 is allowed by line 1 of /etc/procket/policy.conf: allow ", User, " socket inet6 raw 6\n"])},
            Explain(User, ["raw 6"])
        ),
        %% One that is not there yet.
        Draft = Dir ++ "/home/draft",
        ok = file:write_file(Draft, "# no\ndeny * any\n"),
        ?assertEqual({1, "udp 53 is refused by line 2 of " ++ Draft ++ ": deny * any\n"}, Explain("--policy", [Draft, User, "udp", "53"])),
        ?assertEqual({2, "procket: no user nobody-here in /etc/passwd\n"}, Explain("--policy", [Draft, "nobody-here", "udp 53"])),
        ?assertEqual(
            {1, "procket: no user in /etc/passwd has the number 4711, so its groups are not known\nudp 53 is refused by line 2 of " ++ Draft ++ ": deny * any\n"},
            Explain("--policy", [Draft, "#4711", "udp 53"])),
        ok = file:write_file(Draft, "allow nobody-here any\nallow\n"),
        ?assertEqual({2, "procket: " ++ Draft ++ ": line 1: no user nobody-here in /etc/passwd\n"}, Explain("--policy", [Draft, User, "udp", "53"])),
        ?assertEqual({2, "procket: " ++ Draft ++ "x: cannot be read: enoent\n"}, Explain("--policy", [Draft ++ "x", User, "udp", "53"])),
        [?assertMatch({64, "usage: " ++ _}, Explain("--policy", Words)) || Words <- [[], [Draft], [Draft, User]]],
        ok = file:delete(Dir ++ "/etc/procket/policy.conf"),
        ?assertEqual({2, "procket: /etc/procket/policy.conf: cannot be read: enoent\n"}, Explain(User, ["udp", "53"]))
    end).

%% By hand, a setuid file reads nothing that its caller could not.
tools_have_no_rights(_Config) ->
    with_policy("allow * any\n", fun(#{dir := Dir} = Machine, _Ask) ->
        _ = procket_test:sh_ok(["chmod 600 ", Dir, "/etc/procket/policy.conf"]),
        Program = procket_machine:setuid(Machine),
        [
            ?assertEqual({1, File ++ ": cannot be read: eacces\n"}, procket_machine:run_as_user(Machine, [Program, "--check-policy", File]))
         || File <- ["/etc/procket/policy.conf", "/etc/shadow"]
        ],
        ?assertEqual({2, "procket: /etc/procket/policy.conf: cannot be read: eacces\n"}, procket_machine:run_as_user(Machine, [Program, "--explain", "root", "udp 53"]))
    end).

%% The example of docs/security.md, and what it says of it.
documented(_Config) ->
    {ok, Text} = file:read_file(filename:join(procket_test:project_root(), "docs/security.md")),
    Blocks = binary:split(Text, <<"\n```\n">>, [global]),
    [Example] = [Block || <<"# The name server", _/binary>> = Block <- Blocks],
    [Session] = [Block || <<"$ procket --explain", _/binary>> = Block <- Blocks],
    [[Draft, Checked]] = [binary:split(Block, <<"$ procket --check-policy draft.conf\n">>) || <<"$ cat draft.conf\n", Block/binary>> <- Blocks],
    procket_machine:with(fun(#{lib := Lib} = Machine) ->
        _ = procket_machine:run_ok(Machine, ["sh", "-c", "for g in web netops; do groupadd $g; done; for u in named alice carol; do useradd $u; done"]),
        procket_machine:policy(Machine, [Example, "\n"]),
        ?assertMatch({0, "/etc/procket/policy.conf: 8 rules\n"}, procket_machine:run(Machine, [Lib ++ "/priv/procket", "--check-policy", "/etc/procket/policy.conf"])),
        [
            begin
                [Command, Answer] = string:split(Line, "\n"),
                "procket --explain " ++ Arguments = Command,
                {_, Output} = procket_machine:run(Machine, [Lib ++ "/priv/procket", "--explain" | string:lexemes(Arguments, " ")]),
                ?assertEqual(string:trim(Answer), string:trim(Output))
            end
         || Line <- string:split(binary_to_list(Session), "$ ", all), Line =/= ""
        ],
        ok = file:write_file(maps:get(dir, Machine) ++ "/draft.conf", Draft),
        ?assertEqual({0, binary_to_list(Checked) ++ "\n"}, procket_machine:run(Machine, ["env", "-C", maps:get(dir, Machine), Lib ++ "/priv/procket", "--check-policy", "draft.conf"]))
    end).

%% A machine with a policy in which USER is its user, and a function that has a BEAM of that user open things with a setuid
%% opener: `ok' or the error of each.
with_policy(Text, Fun) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        procket_machine:policy(Machine, string:replace(Text, "USER", User, all)),
        Options = setuid(Machine),
        Fun(Machine, fun(Requests) -> ask(Machine, Options, Requests) end)
    end).

ask(Machine, Options, Requests) ->
    Opens = lists:join(", ", [["open(", Request, ")"] || Request <- Requests]),
    Calls = re:replace(lists:flatten(Opens), "\\]\\)", ["] ++ [", Options, "])"], [global, {return, list}]),
    Results = procket_machine:eval(Machine, ["[element(1, {R, R}) || R <- [", string:replace(Calls, "open(", "procket:open(", all), "]]"]),
    {ok, Tokens, _} = erl_scan:string(Results ++ "."),
    {ok, Terms} = erl_parse:parse_term(Tokens),
    [
        case Term of
            {ok, _} -> ok;
            {error, Reason} -> Reason
        end
     || Term <- Terms
    ].

result("{ok," ++ _) -> ok;
result("{error," ++ Reason) -> list_to_atom(lists:droplast(Reason)).

setuid(Machine) ->
    progname(procket_machine:setuid(Machine)).

progname(Path) ->
    lists:flatten(["{exec, [\"\"]}, {progname, \"", Path, "\"}"]).

user(#{user := User}) ->
    ["setpriv", "--reuid", User, "--regid", User, "--init-groups"].

beam(Machine, Expression) -> beam(Machine, error, Expression).

beam(#{lib := Lib}, Level, Expression) ->
    ["sh", "-c", "cd / && HOME=/ exec erl -noshell -kernel logger_level " ++ atom_to_list(Level) ++ " -pa \"$0\" -eval \"$1\"", Lib ++ "/ebin",
        lists:flatten(["io:format(\"~0tp~n\", [", Expression, "]), _ = [logger_std_h:filesync(procket) || {ok, _} <- [logger:get_handler_config(procket)]], halt()."])].

await(Port, Text) -> await(Port, Text, <<>>).

await(Port, Text, Output) ->
    case binary:match(Output, list_to_binary(Text)) of
        nomatch ->
            receive
                {Port, {data, Data}} -> await(Port, Text, <<Output/binary, Data/binary>>)
            after 30_000 -> error({never, Text, Output})
            end;
        _ ->
            Output
    end.
