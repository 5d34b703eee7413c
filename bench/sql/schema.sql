CREATE TABLE airlines (carrier text PRIMARY KEY, name text NOT NULL);
CREATE TABLE airports (code text PRIMARY KEY, name text NOT NULL, zone text, altitude int);
CREATE TABLE planes (tail text PRIMARY KEY, built int, manufacturer text, model text, seats int);
CREATE TABLE weather (origin text, hour timestamp, temperature numeric, wind numeric, visibility numeric);
CREATE TABLE flights (
    id int PRIMARY KEY, carrier text NOT NULL, number int NOT NULL, tail text, origin text NOT NULL,
    destination text NOT NULL, distance int NOT NULL, scheduled timestamp NOT NULL,
    departure_delay int, arrival_delay int, air_time int
);
-- One row that every transaction of the replay counts up: a stream table that shows it says how far all of them are.
CREATE TABLE ticks (tick int8 NOT NULL);
INSERT INTO ticks VALUES (0);
