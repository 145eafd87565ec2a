defmodule UdpEchoTest do
  use ExUnit.Case

  test "echoes, and gives the port back" do
    {:ok, echo} = UdpEcho.start_link(port: 0, open: [ip: {127, 0, 0, 1}])
    {:ok, {ip, port}} = UdpEcho.sockname(echo)
    {:ok, client} = :gen_udp.open(0, [:binary, active: false])
    :ok = :gen_udp.send(client, ip, port, "hello")
    assert {:ok, {^ip, ^port, "hello"}} = :gen_udp.recv(client, 0, 5000)
    :ok = GenServer.stop(echo)
    assert {:ok, again} = :gen_udp.open(port, ip: ip)
    :gen_udp.close(again)
    :gen_udp.close(client)
  end

  test "its supervisor's end gives the port back too" do
    {:ok, supervisor} = Supervisor.start_link([{UdpEcho, port: 0}], strategy: :one_for_one)
    [{_, echo, _, _}] = Supervisor.which_children(supervisor)
    {:ok, {_, port}} = UdpEcho.sockname(echo)
    Supervisor.stop(supervisor)
    assert {:ok, again} = :gen_udp.open(port)
    :gen_udp.close(again)
  end

  test "says why it cannot start" do
    Process.flag(:trap_exit, true)
    {:ok, taken} = :gen_udp.open(0)
    {:ok, port} = :inet.port(taken)
    assert {:error, :eaddrinuse} = UdpEcho.start_link(port: port)
    :gen_udp.close(taken)
  end

  test "an OTP socket, and what a service manager passed" do
    {:ok, socket} = :procket.open_socket(0, protocol: :udp)
    assert %{domain: :inet, type: :dgram} = :socket.info(socket)
    assert :ok = :socket.close(socket)
    assert [] = :procket.listen_fds()
  end
end
