"""What every torch model behind the Diptych contract shares.

Importing this package or its ``settings`` loads no torch; the other modules are for the engine
process. A model service adds one folder, ``services/NAME``, with six files of its own:

``pyproject.toml``
    Depends on ``diptych-runtime`` and ``diptych-torch``.
``__main__.py``
    ``run(ServiceSpec(model_id, default_port, engine="diptych_NAME.engine:create",
    official=OFFICIAL, converter="diptych_torch.convert",
    weights_variable="DIPTYCH_NAME_WEIGHTS"))``: serve, ``pull``, ``weights`` and ``check``.
``official.py``
    ``OFFICIAL``, the ``OfficialWeights`` that ``pull`` knows. The front reads it: no torch here.
``settings.py``
    ``class EngineSettings(TorchSettings)`` with its own variables, ``NAME_weights`` among them.
``model_card.toml``
    What is true of all weights, then ``[weights.X]`` for what differs; see ``card.read_card``.
``engine.py``
    The engine protocol of ``diptych_runtime.engine``::

        WEIGHTS = WeightsSetting(
            variable="DIPTYCH_NAME_WEIGHTS",
            program="diptych-NAME",
            choices={weights.name: weights for weights in OFFICIAL},
        )

        class NameEngine:
            @load_errors()
            def load(self) -> LoadedModel:
                compute = Compute.from_settings(self._settings)
                chosen = WEIGHTS.choose(self._settings.NAME_weights)
                load_into(network, chosen.read_state(), "the network")
                network.eval().to(compute.device, compute.dtype)
                return LoadedModel(
                    **compute.card_fields("torchvision"),
                    card=read_card("diptych_NAME", [chosen.section]),
                    weights=(chosen.loaded,),
                    variants=WEIGHTS.variants(chosen),
                    ...
                )

            @guarded_step
            def embed(self, pixels: Pixels, kind: str) -> Features: ...

            @guarded_steps
            def segment(self, features, pixels, job) -> Steps[Answer]: ...

        @load_errors()
        def create() -> NameEngine:
            return NameEngine(from_environment(EngineSettings))
"""
