"""`wattlake dev kafka start|stop|status` and `wattlake dev flink start|stop|status`."""

from __future__ import annotations

import typer

from wattlake_pipelines.dev.flink_cli import app as flink_app
from wattlake_pipelines.dev.kafka_cli import app as kafka_app

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]},
                  help="Throw-away servers for trying out and for tests, on this machine alone: no other machine is let in, and nothing is secured "
                       "from its other users but a Kafka that is started with --secured.")
app.add_typer(kafka_app, name="kafka")
app.add_typer(flink_app, name="flink")
