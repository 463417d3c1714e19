-- What every client meets: each common type, the usual kinds of objects, and one table that the mask rules name.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE floatrange AS RANGE (subtype = float8);

CREATE TABLE kinds (
    id integer PRIMARY KEY, b boolean, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric,
    t text, v varchar(20), c char(5), nm name, ch "char", by bytea, d date, ti time, tz timetz, ts timestamp, tstz timestamptz,
    iv interval, u uuid, j json, jb jsonb, ia integer[], ta text[][], ir int4range, mr int4multirange, tr tstzrange,
    ip inet, ci cidr, ma macaddr, bi bit(5), vb varbit, pt point, bx box, pth path, pg polygon, cc circle, m money,
    o oid, rc regclass, tv tsvector, tq tsquery, ls pg_lsn, jp jsonpath, md mood, dm positive, pr pair, fr floatrange, mda mood[], pra pair[]
);
INSERT INTO kinds VALUES
    (1, true, 2, 4, 8, 1.5, 2.25, 12345.678900, 'text', 'varchar', 'ch', 'a_name', 'x', '\x00ff10', '2024-02-29', '12:34:56.789',
     '12:34:56+02', '2024-02-29 12:34:56.123456', '2024-02-29 12:34:56.123456+00', '1 year 2 mons 3 days 04:05:06',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, 2.5, null]}', '{"b": {"c": true}}', '{1,NULL,3}', '{{a,b},{c,"d,e"}}',
     '[1,10)', '{[1,3),[5,7)}', '["2024-01-01 00:00:00+00",)', '192.168.1.7/24', '10.0.0.0/8', '08:00:2b:01:02:03', '10101', '1101',
     '(1,2)', '((0,0),(1,1))', '((0,0),(1,1),(2,0))', '((0,0),(1,1),(2,0))', '<(0,0),5>', '12.34', 1259, 'pg_class',
     'a fat cat', 'fat & cat', '16/B374D848', '$.a[*]', 'happy', 7, '(1,one)', '[1.5,2.5]', '{sad,happy}', '{"(1,one)","(2,\"t wo\")"}'),
    (2, false, -32768, -2147483648, -9223372036854775808, '-Infinity', 'NaN', 'NaN', '', '', '', '', '', '', '-infinity', '00:00',
     '24:00:00-12', 'infinity', 'infinity', '-178000000 years', '00000000-0000-0000-0000-000000000000', 'null', '[]', '{}', '{}',
     'empty', '{}', 'empty', '::1', '::/0', 'ff:ff:ff:ff:ff:ff', '00000', '', '(-1e300,1e-300)', '((-1,-1),(-2,-2))', '[(0,0),(1,1)]',
     '((0,0),(0,0))', '<(0,0),0>', '-92233720368547758.08', 0, 0, '', '', '0/0', '$', 'sad', 1, '(,)', '(,)', '{}', '{}');
INSERT INTO kinds (id) VALUES (3);
INSERT INTO kinds (id, t, v, n, j, jb, ta, i8) VALUES
    (4, E'naïve Ωmega 漢字 🐘 \t tab \n line \\ back ''quote''', 'žluťoučký', 0.00000000000000000001, '{"ключ":"значение"}', '"🐘"',
     '{"漢字",NULL,"NULL",""}', 9223372036854775807);

CREATE TABLE items (id serial PRIMARY KEY, label text NOT NULL UNIQUE, size positive DEFAULT 1, parent integer REFERENCES items ON DELETE CASCADE,
    doubled integer GENERATED ALWAYS AS (id * 2) STORED, CONSTRAINT short CHECK (length(label) < 40));
INSERT INTO items (label, size, parent) SELECT 'item ' || i, i, nullif(i / 2, 0) FROM generate_series(1, 50) i;
CREATE INDEX items_size ON items (size) WHERE size > 10;
COMMENT ON TABLE items IS 'things';
CREATE VIEW big_items AS SELECT id, label, size FROM items WHERE size > 40;
CREATE MATERIALIZED VIEW item_totals AS SELECT parent, count(*) AS children, sum(size) AS total FROM items GROUP BY parent;
CREATE SEQUENCE tickets START 100 INCREMENT 5;
CREATE TABLE measures (at date NOT NULL, value integer) PARTITION BY RANGE (at);
CREATE TABLE measures_2023 PARTITION OF measures FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE measures_2024 PARTITION OF measures FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO measures SELECT date '2023-06-01' + i, i FROM generate_series(1, 300) i;
CREATE TABLE many AS SELECT i AS id, md5(i::text) AS digest FROM generate_series(1, 3000) i;
CREATE FUNCTION add_up(a integer, b integer DEFAULT 2) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT a + b';
CREATE FUNCTION shout(what text, OUT loud text, OUT size integer) LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'shouting %', what USING DETAIL = 'with all its might', HINT = 'cover your ears';
    loud := upper(what);
    size := length(what);
END $$;
CREATE FUNCTION numbers(upto integer) RETURNS SETOF integer LANGUAGE sql AS 'SELECT generate_series(1, upto)';
CREATE PROCEDURE add_item(name text, INOUT made integer DEFAULT NULL) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO items (label) VALUES (name) RETURNING id INTO made;
END $$;
CREATE FUNCTION keep_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'label % kept', OLD.label;
    NEW.label := OLD.label;
    RETURN NEW;
END $$;
CREATE TABLE labels (id integer PRIMARY KEY, label text);
INSERT INTO labels VALUES (1, 'one'), (2, 'two');
CREATE TRIGGER keep BEFORE UPDATE ON labels FOR EACH ROW EXECUTE FUNCTION keep_label();

CREATE TABLE secrets (id integer PRIMARY KEY, ssn text, salary integer, note text);
INSERT INTO secrets VALUES (1, '123-45-6781', 1001, 'write to ann@example.com'), (2, '123-45-6782', 1002, 'nothing here');
