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

COMMIT;
