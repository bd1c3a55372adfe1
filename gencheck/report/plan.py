"""The document of `concentrate --plan`: what a run would compute, hold and take."""

from typing import Any

from gencheck.audit.plan import RunPlan


def plan_body(plan: RunPlan) -> dict[str, Any]:
    """The keys of the document that are the command's own."""
    facts, counts, measured = plan.model, plan.counts, plan.measured
    return {
        "certainty": "estimated",
        "model": {
            "parameters": facts.parameters,
            "input_shape": list(facts.input_shape),
            "outputs": facts.outputs,
            "operations": facts.operations,
        },
        "data": vars(plan.data),
        "work": {
            "pairs": counts.pairs,
            "flops_per_pair": counts.flops_per_pair,
            "flops": counts.flops,
            "cells_per_pair": counts.cells_per_pair,
            "executor": plan.executor,
            "storage": plan.storage,
            "ranks": plan.ranks,
            "largest_share": counts.largest_share,
        },
        "bytes": {
            "gram": counts.gram_bytes,
            "gates": counts.gates_bytes,
            "items": counts.items_bytes,
            "sent": plan.sent,
        },
        "memory": {
            "total": plan.memory.total,
            "gram": plan.memory.gram,
            "data": plan.memory.data,
            "gates": plan.memory.gates,
            "working": plan.memory.working,
            "factors": plan.memory.factors,
        },
        "seconds": plan.seconds | {"total": sum(plan.seconds.values())},
        "measured": {
            "items": measured.items,
            "gram_items": measured.gram_items,
            "pairs_per_second": measured.pairs_per_second,
            "products": {
                stage: {"products": products, "columns": columns}
                for stage, (products, columns) in measured.products.items()
            },
            "seconds": measured.seconds,
        },
    }
