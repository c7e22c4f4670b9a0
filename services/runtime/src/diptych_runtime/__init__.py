"""A model service: two processes, of which one speaks gRPC and the other runs the model.

The *front* (``front``, ``grpc_server``) listens, checks each request against the model card, queues
it, and keeps its deadline; it imports no torch. The *engine process* (``worker``), which it starts,
owns the device: one thread runs the model, others decode images ahead and write replies. Between
them go serialised messages over a socket, and image files through shared memory (``ipc``). When the
engine process crashes or hangs, the front fails what was in it, starts another and goes on
listening. On its way a request is

    ``SegmentRequest``  the message, parsed and checked by ``front.servicer``
    ``PendingRequest``  what the front remembers until the answer (``front.worker_client``)
    ``Work``            the request in the engine process, with its times (``worker.work``)
    ``Job``             what the engine gets: task, prompts, options, every default filled in
    ``BatchItem``       the same, where an engine answers several together

Public, for those who write a model:

    ``engine``    the protocol that a model implements, its errors, the tier setting
    ``weights``   published checkpoints: downloaded, checked, converted once
    ``main``      the command line: ``run(ServiceSpec(...))`` is all of a service's ``__main__``
    ``settings``  ``RuntimeSettings``, which a model's own settings extend

Public, for notebooks and batch jobs: ``runner``, one model in the process that asks.

Public, for other servers, such as the gateway: ``grpc_server``, ``calls`` (ids of requests, log
fields, drain), ``watched`` (files that are read again when they change), ``logs``, ``watchdog``,
``allocator``. All else is the runtime's own.
"""
