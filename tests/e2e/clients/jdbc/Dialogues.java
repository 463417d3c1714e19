import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.PGStatement;
import org.postgresql.copy.CopyIn;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;
import org.postgresql.util.PSQLException;
import org.postgresql.util.PSQLWarning;
import org.postgresql.util.ServerErrorMessage;

/** The dialogues of test_jdbc.py. Holds those that are named with the server of the PG* variables; prints what was said, by name. */
public final class Dialogues {
    interface Dialogue {
        void hold(Connection connection) throws Exception;
    }

    private static final Map<String, Dialogue> ALL = new LinkedHashMap<>();
    private static final Map<String, String> OPTIONS = new LinkedHashMap<>();

    private static void dialogue(String name, String options, Dialogue dialogue) {
        ALL.put(name, dialogue);
        OPTIONS.put(name, options);
    }

    public static void main(String[] names) throws Exception {
        for (String name : names) {
            System.out.println("## " + name);
            try (Connection connection = connect(OPTIONS.get(name))) {
                ALL.get(name).hold(connection);
            } catch (Exception error) {
                say("FAILED: " + error);
                error.printStackTrace();
            }
        }
    }

    private static Connection connect(String options) throws SQLException {
        Map<String, String> from = System.getenv();
        String url = "jdbc:postgresql://" + from.get("PGHOST") + ":" + from.get("PGPORT") + "/" + from.get("PGDATABASE")
            + "?sslmode=disable&socketTimeout=25&ApplicationName=jdbc&" + options;
        return DriverManager.getConnection(url, from.get("PGUSER"), from.get("PGPASSWORD"));
    }

    private static void say(Object what) {
        System.out.println(what);
    }

    private static void told(SQLException error) {
        ServerErrorMessage said = error instanceof PSQLException server ? server.getServerErrorMessage()
            : error instanceof PSQLWarning warning ? warning.getServerErrorMessage() : null;
        if (said == null) {
            say("error " + error.getSQLState() + " " + error.getMessage());
            return;
        }
        say(String.join("|", Arrays.asList(said.getSeverity(), said.getSQLState(), said.getMessage(), said.getDetail(), said.getHint(),
            "" + said.getPosition(), said.getWhere(), said.getSchema(), said.getTable(), said.getColumn(), said.getDatatype(),
            said.getConstraint(), said.getFile(), "" + said.getLine(), said.getRoutine())));
    }

    private static void warnings(SQLWarning warning) {
        for (; warning != null; warning = warning.getNextWarning()) {
            told(warning);
        }
    }

    private static void rows(ResultSet rows) throws SQLException {
        ResultSetMetaData shape = rows.getMetaData();
        StringBuilder line = new StringBuilder();
        for (int i = 1; i <= shape.getColumnCount(); i++) {
            line.append(shape.getColumnLabel(i)).append(':').append(shape.getColumnTypeName(i)).append(' ');
        }
        say(line);
        while (rows.next()) {
            line.setLength(0);
            for (int i = 1; i <= shape.getColumnCount(); i++) {
                line.append(rows.getString(i)).append('|');
            }
            say(line);
        }
    }

    private static void results(Statement statement, boolean more) throws SQLException {
        while (true) {
            if (more) {
                rows(statement.getResultSet());
            } else if (statement.getUpdateCount() >= 0) {
                say("updated " + statement.getUpdateCount());
            } else {
                break;
            }
            more = statement.getMoreResults();
        }
        warnings(statement.getWarnings());
    }

    private static void ask(Connection connection, String sql, Object... values) {
        say("> " + sql);
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) {
                statement.setObject(i + 1, values[i]);
            }
            results(statement, statement.execute());
        } catch (SQLException error) {
            told(error);
        }
    }

    private static void plainly(Connection connection, String sql) {
        say("> " + sql);
        try (Statement statement = connection.createStatement()) {
            results(statement, statement.execute(sql));
        } catch (SQLException error) {
            told(error);
        }
    }

    static {
        dialogue("start", "", connection -> {
            say(new TreeMap<>(connection.unwrap(PGConnection.class).getParameterStatuses()));
            connection.setClientInfo("ApplicationName", "renamed");
            say(connection.unwrap(PGConnection.class).getParameterStatus("application_name"));
            say(connection.getMetaData().getDatabaseProductVersion() + " " + connection.getTransactionIsolation());
        });
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            dialogue("types-" + mode, "preferQueryMode=" + mode + "&prepareThreshold=2", connection -> {
                for (int i = 0; i < 4; i++) {
                    ask(connection, "SELECT * FROM kinds WHERE id = ?", i == 0 ? 4 : 1);
                }
                plainly(connection, "SELECT id, f4, f8, n, b, d, ts, tstz, iv, md, pr, ia FROM kinds ORDER BY id");
            });
            dialogue("errors-" + mode, "preferQueryMode=" + mode, connection -> {
                for (String sql : new String[] {"SELECT nope FROM items", "SELECT 1/0", "SELEC", "INSERT INTO items (label) VALUES ('item 1')",
                    "INSERT INTO items (label, size) VALUES ('z', 0)", "INSERT INTO items (label, parent) VALUES ('z', 9999)",
                    "SELECT 1; INSERT INTO labels VALUES (500, 'x'); SELECT 2", "SELECT 1; SELECT 1/0; SELECT 2", "", "DROP TABLE IF EXISTS nowhere",
                    "SELECT '漢字', nope", "COMMIT"}) {
                    plainly(connection, sql);
                    ask(connection, sql);
                }
                ask(connection, "SELECT ?::int + 1", "x");
            });
        }
        dialogue("binary", "prepareThreshold=-1&binaryTransfer=true", connection -> {
            for (int i : new int[] {1, 3, 4}) {
                ask(connection, "SELECT * FROM kinds WHERE id = ?", i);
            }
            ask(connection, "SELECT ?::int2, ?::int8, ?::float8, ?::numeric, ?::text, ?::uuid, ?::bytea, ?::bool, ?::timestamptz", 1, 2L, 1.5,
                new BigDecimal("1.250"), "Ω", UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), new byte[] {0, 1, -1}, true,
                java.time.OffsetDateTime.parse("2024-02-29T00:00:00Z"));
            Array array = connection.createArrayOf("text", new String[] {"a", null, "b,c"});
            ask(connection, "SELECT ?::text[], (?::text[])[3]", array, array);
        });
        dialogue("prepared", "prepareThreshold=3&preparedStatementCacheQueries=4", connection -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT label, size * 2 AS twice FROM items WHERE id = ?")) {
                for (int i = 0; i < 8; i++) {
                    statement.setInt(1, i);
                    rows(statement.executeQuery());
                    say(statement.unwrap(PGStatement.class).isUseServerPrepare());
                }
                say(statement.getParameterMetaData().getParameterTypeName(1));
            }
            for (int i = 0; i < 30; i++) {
                ask(connection, "SELECT " + i % 7 + " + ?", i);
            }
            plainly(connection, "DEALLOCATE ALL");
            plainly(connection, "DISCARD ALL");
            ask(connection, "SELECT 10 / ?", 0);
            ask(connection, "SELECT 10 / ?", 5);
        });
        dialogue("fetch size", "", connection -> {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(70);
                long sum = 0;
                try (ResultSet rows = statement.executeQuery("SELECT id, digest FROM many ORDER BY id")) {
                    while (rows.next()) {
                        sum += rows.getInt(1);
                    }
                }
                say(sum);
                ResultSet open = statement.executeQuery("SELECT id, label || '!' AS loud FROM items ORDER BY id");
                open.next();
                try (Statement other = connection.createStatement(); ResultSet between = other.executeQuery("SELECT 'between' AS word")) {
                    rows(between);
                }
                rows(open);
                try {
                    rows(statement.executeQuery("SELECT 10 / (150 - i) FROM generate_series(1, 200) i"));
                } catch (SQLException error) {
                    told(error);
                }
                connection.rollback();
                statement.setFetchSize(0);
                statement.setMaxRows(3);
                rows(statement.executeQuery("SELECT id FROM items ORDER BY id"));
            }
        });
        dialogue("scrolling and updating", "", connection -> {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
                ResultSet rows = statement.executeQuery("SELECT id, label, size FROM items ORDER BY id")) {
                rows.absolute(5);
                say(rows.getString("label"));
                rows.relative(-2);
                rows.updateInt("size", 77);
                rows.updateRow();
                rows.last();
                say(rows.getString("label"));
                rows.deleteRow();
                rows.moveToInsertRow();
                rows.updateString("label", "inserted by a result");
                rows.updateInt("size", 5);
                rows.insertRow();
            }
            ask(connection, "SELECT count(*), sum(size) FROM items");
            connection.rollback();
        });
        dialogue("batches", "", connection -> batches(connection));
        dialogue("rewritten batches", "reWriteBatchedInserts=true", connection -> batches(connection));
        dialogue("keys", "", connection -> {
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("INSERT INTO items (label) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                statement.setString(1, "key 1");
                say(statement.executeUpdate());
                rows(statement.getGeneratedKeys());
                for (int i = 2; i < 5; i++) {
                    statement.setString(1, "key " + i);
                    statement.addBatch();
                }
                say(Arrays.toString(statement.executeBatch()));
                rows(statement.getGeneratedKeys());
            }
            connection.rollback();
        });
        for (String autosave : new String[] {"never", "always", "conservative"}) {
            dialogue("autosave-" + autosave, "autosave=" + autosave + "&cleanupSavepoints=true", connection -> {
                plainly(connection, "CREATE TABLE saved (i int PRIMARY KEY)");
                connection.setAutoCommit(false);
                ask(connection, "INSERT INTO saved VALUES (?)", 1);
                ask(connection, "INSERT INTO saved VALUES (?)", 1);
                ask(connection, "INSERT INTO saved VALUES (?)", 2);
                try {
                    connection.commit();
                } catch (SQLException error) {
                    told(error);
                }
                Savepoint point = connection.setSavepoint("a \"point\"");
                ask(connection, "INSERT INTO saved VALUES (3)");
                ask(connection, "SELECT nope");
                connection.rollback(point);
                ask(connection, "INSERT INTO saved VALUES (4)");
                connection.commit();
                connection.setReadOnly(true);
                ask(connection, "INSERT INTO saved VALUES (5)");
                connection.rollback();
                connection.setReadOnly(false);
                connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                ask(connection, "SELECT i, current_setting('transaction_isolation') FROM saved ORDER BY i");
                connection.rollback();
                connection.setAutoCommit(true);
                plainly(connection, "DROP TABLE saved");
            });
        }
        dialogue("copies", "", connection -> {
            CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
            for (String how : new String[] {"", "CSV HEADER", "(FORMAT binary)"}) {
                for (String what : new String[] {"kinds", "(SELECT id, label, size FROM items ORDER BY id)"}) {
                    ByteArrayOutputStream out = new ByteArrayOutputStream();
                    say(copies.copyOut("COPY " + what + " TO STDOUT " + how, out));
                    say(HexFormat.of().formatHex(out.toByteArray()));
                }
            }
            plainly(connection, "CREATE TEMP TABLE arrived (i int PRIMARY KEY, t text)");
            StringBuilder lines = new StringBuilder();
            for (int i = 0; i < 5000; i++) {
                lines.append(i).append(",line ").append(i).append('\n');
            }
            say(copies.copyIn("COPY arrived FROM STDIN CSV", new StringReader(lines.toString())));
            for (String bad : new String[] {"x\tbad\n", "1\ttwice\n", "6000\ttoo\tmany\n"}) {
                try {
                    say(copies.copyIn("COPY arrived FROM STDIN", new ByteArrayInputStream(bad.getBytes(StandardCharsets.UTF_8))));
                } catch (SQLException error) {
                    told(error);
                }
            }
            CopyIn dropped = copies.copyIn("COPY arrived FROM STDIN");
            byte[] line = "7000\tdropped\n".getBytes(StandardCharsets.UTF_8);
            dropped.writeToCopy(line, 0, line.length);
            dropped.cancelCopy();
            ask(connection, "SELECT count(*), sum(i) FROM arrived");
        });
        dialogue("metadata", "", connection -> {
            var data = connection.getMetaData();
            for (ResultSet rows : new ResultSet[] {data.getTables(null, "public", "%", null), data.getColumns(null, "public", "items", null),
                data.getPrimaryKeys(null, "public", "items"), data.getImportedKeys(null, "public", "items"), data.getIndexInfo(null, "public", "items", false, false),
                data.getTypeInfo(), data.getFunctions(null, "public", "%"), data.getFunctionColumns(null, "public", "%", null), data.getSchemas(),
                data.getTablePrivileges(null, "public", "items"), data.getUDTs(null, "public", "%", null), data.getProcedures(null, "public", "%")}) {
                rows(rows);
            }
            try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT id, label AS other, size + 1 FROM items LIMIT 1")) {
                ResultSetMetaData shape = rows.getMetaData();
                for (int i = 1; i <= 3; i++) {
                    say(shape.getTableName(i) + " " + shape.isNullable(i) + " " + shape.isAutoIncrement(i) + " " + shape.getPrecision(i));
                }
            }
        });
        dialogue("large objects", "", connection -> {
            connection.setAutoCommit(false);
            LargeObjectManager manager = connection.unwrap(PGConnection.class).getLargeObjectAPI();
            long oid = manager.createLO();
            try (LargeObject large = manager.open(oid, LargeObjectManager.READWRITE)) {
                large.write(new byte[100000]);
                large.seek(10);
                large.write(new byte[] {1, 2, 3});
                large.seek(9);
                say(HexFormat.of().formatHex(large.read(6)) + " " + large.size() + " " + large.tell());
                large.truncate(50);
                say(large.size());
            }
            manager.delete(oid);
            try {
                manager.open(oid, LargeObjectManager.READ).read(1);
            } catch (SQLException error) {
                say(error.getSQLState());
            }
            connection.rollback();
        });
        dialogue("notifications", "", connection -> {
            PGConnection server = connection.unwrap(PGConnection.class);
            plainly(connection, "LISTEN news");
            plainly(connection, "NOTIFY news, 'one'");
            ask(connection, "SELECT pg_notify('news', ?)", "two");
            for (int heard = 0; heard < 2;) {
                for (PGNotification notification : server.getNotifications(10000)) {
                    say(notification.getName() + " " + notification.getParameter() + " " + (notification.getPID() == server.getBackendPID()));
                    heard++;
                }
            }
        });
        dialogue("cancelling", "", connection -> {
            try (Statement statement = connection.createStatement()) {
                Thread canceller = new Thread(() -> {
                    try {
                        Thread.sleep(500);
                        statement.cancel();
                    } catch (Exception error) {
                        say(error);
                    }
                });
                canceller.start();
                try {
                    statement.execute("SELECT pg_sleep(20)");
                } catch (SQLException error) {
                    told(error);
                }
                canceller.join();
                statement.setQueryTimeout(1);
                try {
                    statement.execute("SELECT pg_sleep(20)");
                } catch (SQLException error) {
                    told(error);
                }
                statement.setQueryTimeout(0);
                results(statement, statement.execute("SELECT 'after' AS word"));
                say(connection.isValid(5));
            }
        });
        dialogue("functions", "", connection -> {
            try (CallableStatement call = connection.prepareCall("{? = call add_up(?, ?)}")) {
                call.registerOutParameter(1, Types.INTEGER);
                call.setInt(2, 40);
                call.setInt(3, 2);
                call.execute();
                say(call.getInt(1));
            }
            try (CallableStatement call = connection.prepareCall("call add_item(?, ?)")) {
                call.setString(1, "from jdbc");
                call.registerOutParameter(2, Types.INTEGER);
                call.setNull(2, Types.INTEGER);
                call.execute();
                say(call.getInt(2) > 0);
            }
            ask(connection, "SELECT * FROM shout('x')");
            plainly(connection, "DO $$ BEGIN RAISE EXCEPTION 'mine' USING DETAIL = 'd', HINT = 'h'; END $$");
            ask(connection, "UPDATE labels SET label = 'new'");
        });
        dialogue("big", "", connection -> {
            try (PreparedStatement statement = connection.prepareStatement("SELECT length(?::bytea), repeat('x', 2000000)")) {
                statement.setBytes(1, new byte[3000000]);
                ResultSet rows = statement.executeQuery();
                rows.next();
                say(rows.getInt(1) + " " + rows.getString(2).length());
            }
        });
        dialogue("masked", "", connection -> {
            connection.setAutoCommit(false);
            try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM secrets WHERE id > ? ORDER BY id")) {
                statement.setFetchSize(1);
                statement.setInt(1, 0);
                rows(statement.executeQuery());
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            connection.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT id, ssn, note FROM secrets ORDER BY id) TO STDOUT", out);
            System.out.print(out.toString(StandardCharsets.UTF_8));
        });
    }

    private static void batches(Connection connection) throws SQLException {
        plainly(connection, "CREATE TEMP TABLE batched (i int PRIMARY KEY, t text)");
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO batched VALUES (?, ?)")) {
            for (int i = 0; i < 1000; i++) {
                statement.setInt(1, i);
                statement.setString(2, "row " + i);
                statement.addBatch();
            }
            say(statement.executeBatch().length);
            for (int i : new int[] {2000, 5, 2001}) {
                statement.setInt(1, i);
                statement.setString(2, "again");
                statement.addBatch();
            }
            try {
                statement.executeBatch();
            } catch (BatchUpdateException error) {
                say(Arrays.toString(error.getUpdateCounts()));
                told((SQLException) error.getCause());
            }
        }
        try (Statement statement = connection.createStatement()) {
            statement.addBatch("UPDATE batched SET t = 'x' WHERE i < 10");
            statement.addBatch("DELETE FROM batched WHERE i > 500");
            statement.addBatch("CREATE TEMP TABLE more (i int)");
            say(Arrays.toString(statement.executeBatch()));
        }
        ask(connection, "SELECT count(*), count(*) FILTER (WHERE t = 'x') FROM batched");
    }
}
