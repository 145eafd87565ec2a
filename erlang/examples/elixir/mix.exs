defmodule UdpEcho.MixProject do
  use Mix.Project

  def project do
    [
      app: :udp_echo,
      version: "1.0.0",
      elixir: "~> 1.14",
      deps: [{:procket, path: "../../.."}]
    ]
  end

  def application do
    [extra_applications: [:logger]]
  end
end
