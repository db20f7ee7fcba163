-- What Relight needs in the database. The database's owner (on RDS: the master user) runs this once on the primary;
-- the replica gets it by replication. Running it again changes nothing.
--   psql --no-psqlrc --set ON_ERROR_STOP=1 --file bootstrap.sql "host=... dbname=... user=..."

BEGIN;

-- One row, written each minute where the database is active: how old the last replicated row is bounds what a
-- failover would lose, whether or not the shop has anything to write.
CREATE TABLE IF NOT EXISTS public.relight_heartbeat (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    at timestamptz NOT NULL,
    region text
);

-- The role of the function `dbcheck`. It has no password: on RDS it signs in with an IAM token.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'relight_check') THEN
        CREATE ROLE relight_check LOGIN CONNECTION LIMIT 10;
    END IF;
    -- There is no such role outside RDS; there, whoever sets up the server decides how relight_check signs in.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO relight_check;
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO relight_check', current_database());
END
$$;

GRANT USAGE ON SCHEMA public TO relight_check;
GRANT SELECT, INSERT, UPDATE ON public.relight_heartbeat TO relight_check;

-- One row while Relight has stopped this database's writes; none where somebody else has, or nobody.
CREATE TABLE IF NOT EXISTS public.relight_stop (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    at timestamptz NOT NULL
);
GRANT SELECT ON public.relight_stop TO relight_check;

-- To stop the writes before a planned failover, or where this Region has been superseded, and to let them in again. What
-- only the database's owner may do runs with the owner's rights, and relight_check may call just that. A client that
-- asks for a read-write transaction in so many words gets one all the same: no setting keeps it from that.
CREATE OR REPLACE FUNCTION public.relight_is_read_only() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_or(split_part(setting, '=', 2)::boolean), false)
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
    WHERE setrole = 0
      AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND split_part(setting, '=', 1) = 'default_transaction_read_only'
$$;

-- Where it is read-only already without a row, somebody else has made it so, and it is not ours to take back.
CREATE OR REPLACE FUNCTION public.relight_stop_writes() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('relight_stop'));
    IF public.relight_is_read_only() THEN
        UPDATE public.relight_stop SET at = clock_timestamp();
    ELSE
        EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
        INSERT INTO public.relight_stop (at) VALUES (clock_timestamp())
        ON CONFLICT (id) DO UPDATE SET at = excluded.at;
    END IF;
END
$$;

-- Only the stop that was seen, where one is given: not the one that has come since, which somebody relies on.
CREATE OR REPLACE FUNCTION public.relight_allow_writes(seen text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('relight_stop'));
    IF EXISTS (SELECT FROM public.relight_stop WHERE seen IS NULL OR seen = extract(epoch FROM at)::text) THEN
        EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database());
    END IF;
END
$$;

-- Last, when the sessions that began read-only have been ended too; not where it has been stopped again meanwhile.
CREATE OR REPLACE FUNCTION public.relight_forget_stop() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('relight_stop'));
    IF NOT public.relight_is_read_only() THEN
        DELETE FROM public.relight_stop;
    END IF;
END
$$;

-- Before two databases are compared: relight_check may read every table, and every sequence, that the database's owner
-- may let it read, those that have come since included. Where it has pg_read_all_data (below) there is nothing to do.
CREATE OR REPLACE FUNCTION public.relight_let_read() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('relight_let_read'));
    FOR found IN
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
          AND NOT has_schema_privilege('relight_check', oid, 'USAGE')
          AND has_schema_privilege(oid, 'USAGE WITH GRANT OPTION')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO relight_check', found.nspname);
    END LOOP;
    FOR found IN
        SELECT nspname, relname, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'm', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
          AND NOT has_table_privilege('relight_check', pg_class.oid, 'SELECT')
          AND has_table_privilege(pg_class.oid, 'SELECT WITH GRANT OPTION')
    LOOP
        EXECUTE format('GRANT SELECT ON %s %I.%I TO relight_check', found.kind, found.nspname, found.relname);
    END LOOP;
END
$$;

-- On a database that is kept and that nobody follows any more: a slot that nobody reads keeps WAL until the disk is full.
CREATE OR REPLACE FUNCTION public.relight_drop_slots() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slot name;
BEGIN
    FOR slot IN SELECT slot_name FROM pg_replication_slots WHERE NOT active LOOP
        BEGIN
            PERFORM pg_drop_replication_slot(slot);
        EXCEPTION WHEN object_in_use OR undefined_object OR insufficient_privilege THEN
            NULL; -- it stays, and dbcheck says so
        END;
    END LOOP;
END
$$;

-- Whoever runs this file: theirs are the rights of the database's owner, no more.
DO $$
DECLARE
    owner name := (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database());
    made text;
BEGIN
    EXECUTE format('ALTER TABLE public.relight_stop OWNER TO %I', owner);
    FOREACH made IN ARRAY ARRAY[
        'relight_is_read_only()', 'relight_stop_writes()', 'relight_allow_writes(text)', 'relight_forget_stop()',
        'relight_let_read()', 'relight_drop_slots()'
    ] LOOP
        EXECUTE format('ALTER FUNCTION public.%s OWNER TO %I', made, owner);
        EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM PUBLIC', made);
        EXECUTE format('GRANT EXECUTE ON FUNCTION public.%s TO relight_check', made);
    END LOOP;
END
$$;

-- To see the state of replication and everybody's sessions, and to end sessions when this Region has been superseded.
-- An owner who may not grant these is told so; without them, dbcheck still writes and reads the heartbeat.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['pg_monitor', 'pg_signal_backend'] LOOP
        BEGIN
            EXECUTE format('GRANT %I TO relight_check', wanted);
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'you may not grant % to relight_check: have a superuser do it', wanted;
        END;
    END LOOP;
END
$$;

-- To compare two databases row by row. On RDS the master user may grant it since PostgreSQL 14; where the owner may not,
-- relight_let_read() above does what the owner can do.
DO $$
BEGIN
    GRANT pg_read_all_data TO relight_check;
EXCEPTION WHEN insufficient_privilege THEN
    PERFORM public.relight_let_read();
END
$$;

COMMIT;
