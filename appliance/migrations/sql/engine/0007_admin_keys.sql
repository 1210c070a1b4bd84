-- What a key may do beyond the books: make, restore and remove backups. Older versions know nothing
-- of it and go on beside this; the keys they make have not this right.
ALTER TABLE appliance.api_keys ADD COLUMN admin boolean NOT NULL DEFAULT false;
