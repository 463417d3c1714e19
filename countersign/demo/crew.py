"""A CrewAI crew of two. It knows nothing of Countersign but the address in its database URI.

DATABASE_URL=… python -m countersign.demo.crew MODEL_URL
"""

import os
import shutil
import sys
import tempfile
from typing import Any

STATE = tempfile.mkdtemp(prefix="countersign-crew-")
tempfile.tempdir = STATE  # CrewAI leaves lock files in the temporary folder
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    "CREWAI_STORAGE_DIR": STATE,
    # The model is on this machine, whatever proxy the user's shell names.
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
for name in [name for name in os.environ if name.startswith("PG") or name == "CREWAI_NL2SQL_ALLOW_DML"]:
    del os.environ[name]  # the URI says everything, and the analyst only reads


def main(database_uri: str, model_url: str) -> None:
    """Run the crew and print what its agents concluded."""
    import psycopg
    from crewai import LLM, Agent, Crew, Task
    from crewai.tools import tool
    from crewai_tools import NL2SQLTool

    model = LLM(model="openai/gpt-4o-mini", base_url=model_url, api_key="stub")

    @tool("run_sql")
    def run_sql(sql: str) -> str:
        """Run one SQL statement on the shop's database and return what the database answers."""
        print(f"  [agent] {sql}", flush=True)
        try:
            with psycopg.connect(database_uri) as connection:
                return f"{connection.execute(sql).rowcount} rows affected"
        except psycopg.Error as error:
            return f"the database refused: {error}"

    support = Agent(
        role="support analyst", goal="answer questions about customers and orders", backstory="Works for the shop.", llm=model,
        tools=[NL2SQLTool(db_uri=database_uri)],
    )  # fmt: skip
    keeper = Agent(role="data keeper", goal="keep the database tidy", backstory="Works for the shop.", llm=model, tools=[run_sql])
    tasks = [
        Task(description="Look at some customers and sum up orders.", expected_output="a summary", agent=support),
        Task(description="Remove orders that nobody needs.", expected_output="what was done", agent=keeper),
    ]
    output: Any = Crew(agents=[support, keeper], tasks=tasks, verbose=False).kickoff()
    for task in output.tasks_output:
        print(f"  [{task.agent}] {task.raw}", flush=True)


if __name__ == "__main__":
    try:
        main(os.environ["DATABASE_URL"], sys.argv[1])
    finally:
        shutil.rmtree(STATE, ignore_errors=True)
