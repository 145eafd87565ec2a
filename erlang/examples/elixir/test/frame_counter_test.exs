defmodule FrameCounterTest do
  use ExUnit.Case

  # An EtherType for experiments: nothing else on the loopback interface has it.
  @type_of_ours 0x88B5
  @frame <<0::96, @type_of_ours::16, "hello">>

  case :gen_raw.open(~c"lo", protocol: 0) do
    {:ok, socket} -> :ok = :gen_raw.close(socket)
    {:error, reason} -> @moduletag skip: "a packet socket cannot be opened here: #{reason}"
  end

  setup do
    {:ok, counter} = FrameCounter.start_link(interface: "lo", open: [protocol: @type_of_ours, direction: :in])
    # Receives nothing: it is for sending.
    {:ok, sender} = :gen_raw.open(~c"lo", protocol: 0)
    on_exit(fn -> :gen_raw.close(sender) end)
    %{counter: counter, sender: sender}
  end

  test "counts what comes, beyond what was asked for at first", %{counter: counter, sender: sender} do
    assert :ok = :gen_raw.send(sender, @frame)
    assert %{@type_of_ours => 1} = wait_for(counter, 1)
    assert :ok = :gen_raw.send(sender, List.duplicate(@frame, 2500))
    assert %{@type_of_ours => 2501} = wait_for(counter, 2501)
  end

  test "the end of the server closes the socket", %{counter: counter} do
    %{socket: socket} = :sys.get_state(counter)
    :ok = GenServer.stop(counter)
    monitor = Process.monitor(socket)
    assert_receive {:DOWN, ^monitor, :process, ^socket, _}, 5000
    assert {:error, :closed} = :gen_raw.stats(socket)
  end

  test "says why it cannot start" do
    Process.flag(:trap_exit, true)
    assert {:error, :enodev} = FrameCounter.start_link(interface: "none0")
  end

  defp wait_for(counter, count) do
    case FrameCounter.counts(counter) do
      %{@type_of_ours => ^count} = counts -> counts
      _ -> wait_again(counter, count)
    end
  end

  defp wait_again(counter, count) do
    Process.sleep(20)
    wait_for(counter, count)
  end
end
