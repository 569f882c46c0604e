-- The table of data-ws, which the model writes and the appliance reads: a hypertable where there is TimescaleDB.
CREATE TABLE IF NOT EXISTS ml_predictions (
    time             timestamptz NOT NULL,
    current_price    numeric     NOT NULL,
    predicted_1min   numeric,
    predicted_5min   numeric,
    predicted_15min  numeric,
    confidence_1min  real,
    confidence_5min  real,
    confidence_15min real,
    model_version    text
);

SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS has_timescale \gset
\if :has_timescale
    CREATE EXTENSION IF NOT EXISTS timescaledb;
    SELECT create_hypertable('ml_predictions', 'time', if_not_exists => true);
\else
    CREATE INDEX IF NOT EXISTS ml_predictions_time ON ml_predictions (time DESC);
\endif
