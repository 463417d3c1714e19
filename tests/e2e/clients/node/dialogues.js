// The dialogues of test_node.py: node dialogues.js NAME holds one with the server that the PG* variables name and prints what was said.
const { Client, Pool, types } = require("pg");
const { from: copyFrom, to: copyTo } = require("pg-copy-streams");
const Cursor = require("pg-cursor");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");

const FIELDS = [
  "severity", "code", "message", "detail", "hint", "position", "internalPosition", "internalQuery", "where", "schema", "table", "column",
  "dataType", "constraint", "file", "line", "routine",
];

function told(error) {
  return Object.fromEntries(FIELDS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]));
}

function result(answer) {
  if (Array.isArray(answer)) return answer.map(result);
  const columns = answer.fields.map((f) => [f.name, f.tableID > 0, f.columnID, f.dataTypeID < 16384 && f.dataTypeID, f.dataTypeSize, f.dataTypeModifier, f.format]);
  return { command: answer.command, rowCount: answer.rowCount, columns, rows: answer.rows };
}

async function ask(client, query) {
  try {
    return result(await client.query(query));
  } catch (error) {
    return told(error);
  }
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("base64");
}

const dialogues = {
  async types(client) {
    const found = [];
    for (const binary of [false, true]) {
      types.setTypeParser(1184, (text) => text);
      const ids = binary ? "id, b, i2, i4, t, v, by" : "*";
      found.push(await ask(client, { text: `SELECT ${ids} FROM kinds WHERE id = ANY($1) ORDER BY id`, values: [[1, 3, 4]], rowMode: "array", binary }));
    }
    found.push(await ask(client, { text: "SELECT id, f4::text, n, iv, ir FROM kinds ORDER BY id", rowMode: "array" }));
    return found;
  },

  async errors(client) {
    const queries = [
      "SELECT nope FROM items", "SELECT 1/0", "SELEC", "INSERT INTO items (label) VALUES ('item 1')", "INSERT INTO items (label, size) VALUES ('z', 0)",
      "INSERT INTO items (label, parent) VALUES ('z', 9999)", "", "SELECT 1 AS a; SELECT 2 AS b; INSERT INTO labels VALUES (50, 'x')", "SELECT 1; SELECT 1/0",
      "DROP TABLE IF EXISTS nowhere", "COMMIT", "SELECT '漢字', nope",
    ];
    const found = [];
    for (const query of queries) found.push(await ask(client, query), query.includes(";") || query === "" ? null : await ask(client, { text: query, values: [] }));
    found.push(await ask(client, { text: "SELECT $1::int", values: ["x"] }), await ask(client, { text: "SELECT $1", values: [] }));
    return found;
  },

  async functions(client) {
    const found = [];
    for (const query of ["SELECT shout('x')", "CALL add_item('from node')", "DO $$ BEGIN RAISE EXCEPTION 'mine' USING DETAIL = 'd'; END $$", "SELECT numbers(2)"]) {
      found.push(await ask(client, query));
    }
    return found;
  },

  async prepared(client) {
    const found = [];
    for (let i = 0; i < 5; i++) found.push(await ask(client, { name: "by-id", text: "SELECT label, size * 2 AS twice FROM items WHERE id = $1", values: [i] }));
    found.push(await ask(client, { name: "fails", text: "SELECT 10 / $1::int AS q", values: [0] }), await ask(client, { name: "fails", text: "SELECT 10 / $1::int AS q", values: [5] }));
    found.push(await ask(client, { name: "insert", text: "INSERT INTO labels VALUES ($1, $2) RETURNING *", values: [70, "seventy"] }));
    found.push(await ask(client, "DEALLOCATE ALL"), await ask(client, { name: "by-id", text: "SELECT label, size * 2 AS twice FROM items WHERE id = $1", values: [1] }));
    const queued = [1, 2, 3, 4, 5].map((i) => ask(client, { text: "SELECT $1::int AS n", values: [i] }));
    found.push(...(await Promise.all([...queued, ask(client, "SELECT nope"), ask(client, "SELECT 'last' AS word")])));
    found.push(await ask(client, { text: "SELECT id FROM items ORDER BY id", rows: 7 }));
    return found;
  },

  async transactions(client) {
    const found = [];
    for (const query of [
      "CREATE TABLE IF NOT EXISTS noded (i int)", "BEGIN", "INSERT INTO noded VALUES (1)", "SAVEPOINT a", "SELECT nope", "SELECT 1", "ROLLBACK TO a",
      "INSERT INTO noded VALUES (2)", "COMMIT", "BEGIN", "INSERT INTO noded VALUES (3)", "SELECT nope", "COMMIT", "SELECT * FROM noded ORDER BY i", "DROP TABLE noded",
    ]) found.push(await ask(client, query));
    return found;
  },

  async cursors(client) {
    const cursor = client.query(new Cursor("SELECT id, label || '!' AS loud FROM items WHERE id > $1 ORDER BY id", [5]));
    const found = [await cursor.read(3), await cursor.read(10)];
    await cursor.close();
    const broken = client.query(new Cursor("SELECT 10 / (5 - i) AS q FROM generate_series(1, 9) i"));
    try {
      found.push(await broken.read(3));
      found.push(await broken.read(3));
    } catch (error) {
      found.push(told(error));
    }
    found.push(await ask(client, "SELECT 'after' AS word"));
    const all = client.query(new Cursor("SELECT id FROM many ORDER BY id"));
    let sum = 0, rows;
    while ((rows = await all.read(500)).length) sum += rows.reduce((total, row) => total + row.id, 0);
    await all.close();
    return [...found, sum];
  },

  async copies(client) {
    const found = [];
    for (const how of ["", "CSV HEADER", "(FORMAT binary)"]) {
      found.push(await collect(client.query(copyTo(`COPY kinds TO STDOUT ${how}`))), await collect(client.query(copyTo(`COPY (SELECT id, label FROM items ORDER BY id) TO STDOUT ${how}`))));
    }
    await client.query("CREATE TEMP TABLE arrived (i int, t text)");
    const arriving = client.query(copyFrom("COPY arrived FROM STDIN"));
    await pipeline(Readable.from(Array.from({ length: 5000 }, (_, i) => `${i}\tline ${i}\n`)), arriving);
    found.push(arriving.rowCount);
    try {
      await pipeline(Readable.from(["1\tone\nx\tbad\n"]), client.query(copyFrom("COPY arrived FROM STDIN")));
    } catch (error) {
      found.push(told(error));
    }
    found.push(await ask(client, "SELECT count(*), sum(i) FROM arrived"));
    return found;
  },

  async notifications(client) {
    const heard = [];
    const done = new Promise((resolve) => client.on("notification", (message) => {
      heard.push([message.channel, message.payload, message.processId === client.processID]);
      if (heard.length === 2) resolve();
    }));
    await client.query("LISTEN news");
    await client.query("NOTIFY news, 'one'");
    await client.query({ text: "SELECT pg_notify('news', $1)", values: ["two"] });
    await done;
    return heard;
  },

  async cancelling(client) {
    const other = new Client();
    await other.connect();
    const sleeping = ask(client, "SELECT pg_sleep(30)");
    await new Promise((resolve) => setTimeout(resolve, 400));
    const cancelled = await other.query("SELECT pg_cancel_backend($1) AS done", [client.processID]);
    const found = [cancelled.rows, await sleeping];
    await other.end();
    const limited = new Client({ statement_timeout: 200 });
    await limited.connect();
    found.push(await ask(limited, "SELECT pg_sleep(30)"));
    await limited.end();
    return found;
  },

  async big(client) {
    const bytes = Buffer.alloc(3000000, 7);
    const answer = await client.query("SELECT $1::bytea AS raw, repeat('x', 3000000) AS words", [bytes]);
    const many = await client.query("SELECT * FROM many");
    return [answer.rows[0].raw.equals(bytes), answer.rows[0].words.length, many.rowCount];
  },

  async pool() {
    const pool = new Pool({ max: 5 });
    const found = await Promise.all(Array.from({ length: 30 }, (_, i) => pool.query("SELECT $1::int * count(*) AS n FROM items", [i]).then((answer) => answer.rows[0].n)));
    await pool.end();
    return found;
  },

  async masked(client) {
    const cursor = client.query(new Cursor("SELECT ssn FROM secrets ORDER BY id"));
    const found = [await cursor.read(10)];
    await cursor.close();
    found.push((await client.query({ text: "SELECT * FROM secrets WHERE id > $1 ORDER BY id", values: [0], rowMode: "array" })).rows);
    found.push(Buffer.from(await collect(client.query(copyTo("COPY secrets TO STDOUT"))), "base64").toString());
    return found;
  },
};

async function main() {
  const client = new Client({ application_name: "node test" });
  const said = { notices: [], statuses: [] };
  client.on("notice", (notice) => said.notices.push(told(notice)));
  client.connection.on("parameterStatus", (status) => said.statuses.push([status.parameterName, status.parameterValue]));
  await client.connect();
  said.found = await dialogues[process.argv[2]](client);
  await client.end();
  console.log(JSON.stringify(said));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
