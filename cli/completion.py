"""`groundcrew completion`: Tab completes commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands and options; its start file is to read it.

    bash and zsh: eval "$(groundcrew completion bash)". fish: groundcrew completion fish | source.
    """
    from click.shell_completion import get_completion_class

    completer = get_completion_class(shell)
    if completer is None:  # click knows the three that may be chosen
        raise click.UsageError(f"no completion for {shell}")
    click.echo(completer(ctx.find_root().command, {}, "groundcrew", "_GROUNDCREW_COMPLETE").source())
