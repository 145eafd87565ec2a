%% Openers behind doas, pkexec and su themselves: whom they serve, and with which rights.
-module(prefix_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        doas, doas_process, doas_without_a_rule, doas_keeps_the_environment, pkexec, pkexec_process, pkexec_without_a_rule,
        su_of_root, su_of_a_user, su_to_a_user
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_machine:need(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) ->
    Programs =
        case atom_to_list(Case) of
            "doas" ++ _ -> ["doas"];
            "pkexec" ++ _ -> ["pkexec", "dbus-daemon"];
            "su_" ++ _ -> ["su"]
        end,
    procket_machine:need(Config, Programs).

doas(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_machine:doas(Machine, doas_rule(Machine, "nopass")),
        serves_its_caller(Machine, "doas")
    end).

doas_process(_Config) ->
    procket_machine:with(fun(Machine) ->
        procket_machine:doas(Machine, doas_rule(Machine, "nopass")),
        is_reduced(Machine, forged(), doas_words())
    end).

doas_without_a_rule(_Config) ->
    procket_machine:with(fun(Machine) ->
        is_refused(Machine, "doas"),
        %% It would ask for a password.
        procket_machine:doas(Machine, doas_rule(Machine, "")),
        is_refused(Machine, "doas")
    end).

%% With `keepenv' the caller's variables reach the opener, but for the one that doas sets.
doas_keeps_the_environment(_Config) ->
    procket_machine:with(fun(#{uid := Uid} = Machine) ->
        procket_machine:doas(Machine, doas_rule(Machine, "nopass keepenv")),
        Own = integer_to_list(Uid),
        [is_reduced(Machine, Kept, doas_words()) || Kept <- [["DOAS_USER=root"], ["PKEXEC_UID=" ++ Own], ["SUDO_UID=" ++ Own, "SUDO_GID=" ++ Own]]],
        [ends(Machine, Kept, doas_words()) || Kept <- [forged(), ["PKEXEC_UID=0"], ["SUDO_UID=0", "SUDO_GID=0"], ["SUDO_UID=1", "SUDO_GID=1"]]]
    end).

pkexec(_Config) ->
    procket_machine:with(fun(Machine) -> serves_its_caller(with_polkit(Machine), "pkexec") end).

pkexec_process(_Config) ->
    procket_machine:with(fun(Machine) -> is_reduced(with_polkit(Machine), forged(), ["pkexec"]) end).

%% Nobody can be asked, and nobody is.
pkexec_without_a_rule(_Config) ->
    procket_machine:with(fun(Machine) -> is_refused(procket_machine:polkit(Machine, "return null;"), "pkexec") end).

su_of_root(_Config) ->
    procket_machine:with(fun(Machine) ->
        Expression = "procket:open(53, [{protocol, udp}, {exec, [\"su root -s\"]}])",
        procket_machine:inspect(Machine#{as => []}, {Expression, fun(Output, _) -> ?assertMatch(<<"{ok,", _/binary>>, last_line(Output)) end})
    end).

%% Root's rights, and nothing says whose they are. What a user then says is believed where it lowers them.
su_of_a_user(_Config) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        may_become_anybody(Machine),
        procket_machine:policy(Machine, ["allow ", User, " any on * in *\nallow root any on * in *\n"]),
        ?assertEqual({0, "0\n"}, procket_machine:run_as_user(Machine, ["su", "root", "-c", "id -u"])),
        is_refused(Machine, "su root -s"),
        [ends(Machine, Said, su_words()) || Said <- [[], forged(), ["SUDO_UID=0", "SUDO_GID=0"], ["DOAS_USER=daemon"], ["PKEXEC_UID=1"]]],
        is_reduced(Machine, ["DOAS_USER=" ++ User], su_words())
    end).

%% Root's BEAM gets an opener with the rights of that user, who cannot connect to it.
su_to_a_user(_Config) ->
    procket_machine:with(fun(#{user := User} = Machine) ->
        Expression = ["procket:open(0, [{protocol, udp}, {exec, [\"su ", User, " -s\"]}])"],
        procket_machine:inspect(Machine#{as => []}, {Expression, fun(Output, _) -> ?assertMatch(<<"{error,eacces}", _/binary>>, last_line(Output)) end})
    end).

%% By the policy, as its user, with the groups of /etc/group.
serves_its_caller(#{user := User} = Machine, Prefix) ->
    _ = procket_machine:run_ok(Machine, ["usermod", "-a", "-G", "daemon", User]),
    procket_machine:policy(Machine, ["allow ", User, " udp 53\nallow @daemon udp 54\nallow root any\nallow @root any\nallow ", User, " icmp\n"]),
    Requests = ["53, [{protocol, udp}]", "54, [{protocol, udp}]", "55, [{protocol, udp}]", "0, [{protocol, icmp}]"],
    ?assertEqual([ok, ok, eacces, ok], policy_SUITE:ask(Machine, ["{exec, [\"", Prefix, "\"]}"], Requests)).

is_refused(Machine, Prefix) ->
    Expression = ["procket:open(53, [{protocol, udp}, {exec, [\"", Prefix, "\"]}])"],
    ?assertEqual("{error,eperm}", procket_machine:eval(Machine, Expression)).

is_reduced(Machine, Environment, Prefix) ->
    Port = procket_machine:start(Machine, procket_machine:as_user(Machine, line(Machine, "cat", Environment, Prefix))),
    {os_pid, Started} = erlang:port_info(Port, os_pid),
    try
        procket_test:wait_until(fun() ->
            case openers(Started) of
                [Pid] -> maps:get("Seccomp", privilege_SUITE:status(Pid)) =:= ["2"];
                Others -> Others
            end
        end),
        [Opener] = openers(Started),
        privilege_SUITE:is_reduced(Machine, Opener, privilege_SUITE:all_opening())
    after
        procket_test:close_port(Port)
    end.

openers(Started) ->
    [Pid || {opener, Pid} <- procket_machine:port_programs(integer_to_list(Started))].

%% With the status of an opener that does not know whom it would serve.
ends(Machine, Environment, Prefix) ->
    {Status, Output} = procket_machine:run_as_user(Machine, line(Machine, "true", Environment, Prefix)),
    ?assertEqual(71, Status, {Environment, Output}).

%% An opener that reads from a pipe of its caller's: one belongs to the user who made it.
line(#{lib := Lib}, Source, Environment, Prefix) ->
    ["sh", "-c", lists:flatten([Source, " | env ", lists:join(" ", Environment ++ Prefix), " ", Lib, "/priv/procket opener"])].

%% Variables by which a caller would be root.
forged() ->
    ["DOAS_USER=root", "PKEXEC_UID=0", "SUDO_UID=0", "SUDO_GID=0"].

doas_words() -> ["doas", "-n"].

su_words() -> ["su", "root", "-s"].

doas_rule(#{user := User, lib := Lib}, Options) ->
    ["permit ", Options, " ", User, " as root cmd ", Lib, "/priv/procket args opener\n"].

with_polkit(#{user := User, lib := Lib} = Machine) ->
    procket_machine:polkit(Machine, [
        "if (action.id == \"org.freedesktop.policykit.exec\" && subject.user == \"", User, "\" &&\n"
        "    action.lookup(\"command_line\") == \"", Lib, "/priv/procket opener\") return polkit.Result.YES;"
    ]).

%% As with pam_wheel's `trust'.
may_become_anybody(#{dir := Dir}) ->
    ok = file:write_file(filename:join(Dir, "etc/pam.d/su"), [[Kind, " sufficient pam_permit.so\n"] || Kind <- ["auth", "account", "session"]]).

last_line(Output) ->
    lists:last(binary:split(Output, <<"\n">>, [global, trim])).
