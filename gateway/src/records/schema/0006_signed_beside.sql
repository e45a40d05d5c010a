-- What stood under the `.sig` tag before the gate signed too: it stands there again when the gate's signature goes.
ALTER TABLE counter_signatures ADD COLUMN previous TEXT;
