-- Double entry books. Amounts above zero are debits, below zero credits. The books are
-- append-only: a mistake is corrected by another transaction.
CREATE TABLE public.accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    kind text NOT NULL CHECK (kind IN ('asset', 'liability', 'equity', 'income', 'expense')),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, currency)
);

CREATE TABLE public.transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date date NOT NULL CHECK (isfinite(date)),
    description text NOT NULL CHECK (char_length(description) BETWEEN 1 AND 500),
    -- Said in advance and never changed: it closes the transaction to later postings.
    posting_count smallint NOT NULL CHECK (posting_count BETWEEN 2 AND 200),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.postings (
    transaction_id bigint NOT NULL REFERENCES public.transactions,
    position smallint NOT NULL CHECK (position >= 1),
    account_id bigint NOT NULL REFERENCES public.accounts,
    -- Unconstrained numeric keeps the scale that was written. NaN and infinity are not below 10^15.
    amount numeric NOT NULL
        CHECK (amount <> 0 AND abs(amount) < 1000000000000000 AND scale(amount) <= 8),
    PRIMARY KEY (transaction_id, position)
);
CREATE INDEX postings_account ON public.postings (account_id, transaction_id);

-- At COMMIT, once for each transaction: its postings are exactly those it announced, and they sum
-- to zero in every currency.
CREATE FUNCTION public.check_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found bigint;
    unbalanced text;
BEGIN
    SELECT sum(postings), min(currency) FILTER (WHERE total <> 0) INTO found, unbalanced
    FROM (
        SELECT a.currency, count(*) AS postings, sum(p.amount) AS total
        FROM public.postings p JOIN public.accounts a ON a.id = p.account_id
        WHERE p.transaction_id = NEW.id
        GROUP BY a.currency
    ) AS sums;
    IF found IS DISTINCT FROM NEW.posting_count THEN
        RAISE EXCEPTION 'transaction % has % postings, it announced %',
            NEW.id, coalesce(found, 0), NEW.posting_count
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_is_complete';
    END IF;
    IF unbalanced IS NOT NULL THEN
        RAISE EXCEPTION 'transaction % does not sum to zero in %', NEW.id, unbalanced
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_balances';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER transaction_balances AFTER INSERT ON public.transactions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.check_transaction();

-- At each INSERT: positions run from 1 to the announced count. All of them are taken when the
-- transaction commits, so nothing can ever be added to it afterwards, not even what sums to zero.
CREATE FUNCTION public.check_positions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    closed bigint;
BEGIN
    SELECT t.id INTO closed
    FROM added JOIN public.transactions t ON t.id = added.transaction_id
    WHERE added.position > t.posting_count LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction % takes no more postings than it announced', closed
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transaction_is_complete';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER postings_are_announced AFTER INSERT ON public.postings
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.check_positions();

-- For roles that have the privilege too, by mistake or by ownership.
CREATE FUNCTION public.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the books are append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Correct a mistake with another transaction.';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.accounts
    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.transactions
    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.postings
    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

-- By default the API may do anything with a table in this schema, see 0005_client_rights.sql.
REVOKE ALL ON public.accounts, public.transactions, public.postings FROM app;
REVOKE ALL ON SEQUENCE public.accounts_id_seq, public.transactions_id_seq FROM app;
GRANT SELECT, INSERT ON public.accounts, public.transactions, public.postings TO app;
